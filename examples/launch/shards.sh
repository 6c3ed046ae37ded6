#!/usr/bin/env bash
#SBATCH --job-name=ntkjax-shard
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ntkjax-%A-%a.log
#
# `ntkjax select` as an array of jobs that do not talk to each other, on CPUs or (with
# --gpus=1) GPUs. They share OUT.
#
#   export OUT=/shared/runs/select PARTS=8
#   sbatch --array="1-$PARTS" examples/launch/shards.sh \
#       select --model ... --target ... --pool ... --budget 9000
#
# Without --array it does what is left, alone. The README has the order of the rounds.

set -euo pipefail

if (($# == 0)); then
    echo "usage: OUT=... PARTS=N sbatch --array=1-N $0 select [FLAGS] (no --out)" >&2
    exit 2
fi
: "${OUT:?is the run directory, on a file system that all jobs share}"

if [[ -n "${SLURM_ARRAY_TASK_ID:-}" ]]; then
    : "${PARTS:?is the number of parts, the last index of the array}"
    set -- "$@" --shard "$SLURM_ARRAY_TASK_ID/$PARTS"
fi

exec uv run --no-sync ntkjax "$@" --out "$OUT" --distributed off
