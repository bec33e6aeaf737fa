#!/bin/sh
# reap.sh REAP: the wrapper of the tests notices what a test leaves behind, ends
# it, and passes the status of a test on that leaves nothing.
set -u
reap=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0

# expect STATUS ARG...: runs reap and compares its status.
expect()
{
	want=$1
	shift
	"$reap" "$@" 2>"$work/err"
	got=$?
	if [ $got -ne "$want" ]; then
		echo "reap $*: status $got instead of $want"
		cat "$work/err"
		wrong=1
	fi
}

leave="(setsid sh -c 'echo \$\$ >$work/pid; exec sleep 600' &) ;
	while ! [ -s $work/pid ]; do :; done"

expect 0 --strict true
expect 7 --strict sh -c 'exit 7'
expect 137 --strict sh -c 'kill -9 $$'
expect 127 --strict "$work/missing"
expect 2
expect 125 --strict sh -c "$leave"
grep -q 'left behind' "$work/err" || {
	echo 'nothing was said of the process left behind'
	wrong=1
}
if kill -0 "$(cat "$work/pid")" 2>/dev/null; then
	echo 'the process left behind lives on'
	wrong=1
fi
rm "$work/pid"
expect 0 sh -c "$leave"
exit $wrong
