#!/usr/bin/env bash
# One ntkjax command as two processes on this machine.
#
#   examples/launch/two_processes.sh FOLDER                  select, embedded model
#   examples/launch/two_processes.sh FOLDER -- COMMAND ...   any command of ntkjax
#
# COMMAND begins with the program, as `uv run ntkjax evaluate`; the flags that make it
# process 0 or 1 of 2 are added. FOLDER gets the logs. When one process fails the other
# is ended, and the exit code is that of the first to fail. PORT may be set.

set -euo pipefail
set -m # each process leads a group, which can be ended with all it started

folder="${1:-}"
if [[ -z "$folder" || "$folder" == -* ]] || { (($# > 1)) && [[ "$2" != -- ]]; } ||
    (($# == 2)); then
    echo "usage: $0 FOLDER [-- COMMAND [FLAGS]]" >&2
    exit 2
fi
mkdir -p "$folder"

if (($# > 1)); then
    command=("${@:3}")
else
    uv run python -c "
import pathlib, sys
from ntkjax.data.world import make_world, write_world
write_world(make_world(0), pathlib.Path(sys.argv[1]))" "$folder/data"
    command=(uv run ntkjax select --model embedded --budget 100
        --target "$folder/data/medical_train.jsonl" --pool "$folder/data/pool.jsonl"
        --out "$folder/select")
fi

port="${PORT:-$(python3 -c '
import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')}"

processes=()

any_left() {
    local process
    for process in "${processes[@]}"; do
        if kill -0 -- "-$process" 2>/dev/null; then return 0; fi
    done
    return 1
}

# Asks first, and after five seconds no longer.
end_all() {
    local process signal
    for signal in TERM KILL; do
        for process in "${processes[@]}"; do
            kill "-$signal" -- "-$process" 2>/dev/null || true
        done
        for _ in {1..50}; do
            any_left || return 0
            sleep 0.1
        done
    done
}

trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for process in 0 1; do
    "${command[@]}" --coordinator-address "127.0.0.1:$port" --num-processes 2 \
        --process-id "$process" </dev/null >"$folder/process-$process.log" 2>&1 &
    processes+=($!)
done
echo "two processes, coordinator at port $port; logs: $folder/process-{0,1}.log"

for _ in 0 1; do
    code=0
    wait -n || code=$?
    if ((code != 0)); then
        echo "a process ended with exit code $code; the ends of the logs:" >&2
        tail -n 5 "$folder"/process-{0,1}.log >&2
        exit "$code"
    fi
done
cat "$folder/process-0.log"
