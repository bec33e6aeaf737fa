#!/bin/sh
# manual_keys.sh KEYS MANUAL OWN: muster.json(5) has every key, alias and other
# name of keys.def, and those of the supervisor itself in OWN, daemon_config.c,
# and describes no key that isn't there.
set -u
keys=$1
manual=$2
own=$3
wrong=0

names=$(sed -n 's/^KEY(\([a-z_0-9]*\),.*/\1/p' "$keys")
[ -n "$names" ] || {
	echo "$keys has no key"
	wrong=1
}
for name in $names; do
	grep -q "^\.It Cm $name :" "$manual" || {
		echo "muster.json(5) lacks the key $name"
		wrong=1
	}
done
for name in $(sed -n 's/^KEY_[A-Z]*(\([a-z_0-9]*\),.*/\1/p' "$keys"); do
	grep -qw -- "$name" "$manual" || {
		echo "muster.json(5) lacks $name"
		wrong=1
	}
done
for name in $(sed -n 's/.*{FIELD(\([a-z_]*\)).*/\1/p' "$own"); do
	grep -q "Cm $name :" "$manual" || {
		echo "muster.json(5) lacks the supervisor's own key $name"
		wrong=1
	}
done
for name in $(sed -n 's/^\.It Cm \([a-z_0-9]*\) :.*/\1/p' "$manual"); do
	grep -q "^KEY($name," "$keys" || grep -q "{FIELD($name)" "$own" || {
		echo "muster.json(5) has a key that muster hasn't: $name"
		wrong=1
	}
done
exit $wrong
