#!/bin/sh
# exports.sh LIBRARY…: shared and static libmuster show muster_* and nothing
# else, so that they get on with any program's own names.
set -u
wrong=0
for library in "$@"; do
	case $library in
	*.a) dynamic= ;;
	*) dynamic=-D ;;
	esac
	names=$(nm $dynamic -g --defined-only "$library" |
		awk 'NF == 3 && $2 != "A" { print $3 }')
	case $names in
	*muster_attach*) ;;
	*)
		echo "$library: muster_attach isn't there"
		wrong=1
		;;
	esac
	for name in $names; do
		case $name in
		muster_* | MUSTER_*) ;;
		*)
			echo "$library: $name is visible"
			wrong=1
			;;
		esac
	done
done
exit $wrong
