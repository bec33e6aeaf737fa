#!/bin/sh
# manual.sh MUSTER MANUAL: muster(1) has every verb, option and exit code that
# the command has, and names no verb that it hasn't.
set -u
muster=$1
manual=$2
wrong=0

has()
{
	grep -qE -- "$1" "$manual" || {
		echo "muster(1) lacks $2"
		wrong=1
	}
}

verbs=$("$muster" help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
[ -n "$verbs" ] || {
	echo "'muster help' lists no verb"
	wrong=1
}
for verb in $verbs; do
	has "^\.It Cm $verb( |$)" "the verb $verb"
	for option in $("$muster" help "$verb" |
		sed -n 's/^  .*--\([a-z][a-z-]*\).*/\1/p'); do
		has "Fl Fl $option( |$)" "--$option of $verb"
	done
done
for verb in $(sed -n 's/^\.It Cm \([a-z-]*\).*/\1/p' "$manual"); do
	"$muster" help "$verb" >/dev/null 2>&1 || {
		echo "muster(1) has a verb that muster hasn't: $verb"
		wrong=1
	}
done
for code in 0 1 2 3 4; do
	has "^\.It $code$" "the exit code $code"
done
exit $wrong
