#!/bin/sh
# archive.sh IN.a OUT.a CC…: makes the static library that is installed.
#
# Programs link it beside code of any kind, so only what libmuster.map exports
# may stay a global symbol: the objects are joined to one, and everything of
# hidden visibility is made local to it.
set -eu

in=$1
out=$2
shift 2
object=$out.o

"$@" -r -nostdlib -Wl,--whole-archive "$in" -Wl,--no-whole-archive -o "$object"
objcopy --localize-hidden "$object"
rm -f "$out"
ar rcs "$out" "$object"
rm -f "$object"
