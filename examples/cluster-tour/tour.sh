#!/bin/sh
# tour.sh [MUSTER [WORKER]]: runs four workers for four seconds and plays the
# master: a broadcast after one second, a word to worker 1 after two. What the
# workers and the master hear is printed. Uses a home of its own, so it disturbs
# no other daemon.
set -eu

build=$(dirname "$0")/../../build
muster=${1:-$build/supervisor/muster}
worker=${2:-$build/examples/cluster-tour/cluster-tour}

MUSTER_HOME=$(mktemp -d)
export MUSTER_HOME
"$muster" run -n 4 --name tour --wait-ready --start-parallel 4 -- "$worker" &
supervisor=$!
trap 'kill $supervisor 2>/dev/null && wait $supervisor; rm -rf "$MUSTER_HOME"' EXIT

sleep 1
"$muster" send all '{"text":"Hello workers!"}'
sleep 1
"$muster" send 1 '{"text":"Hello worker 1!"}'
sleep 2
