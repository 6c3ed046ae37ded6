#!/usr/bin/env bash
#SBATCH --job-name=ntkjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ntkjax-%j.log
#
# An ntkjax command on several GPU nodes, one process for each GPU.
#
#   OUT=/shared/runs/select sbatch --partition=... examples/launch/slurm_gpu.sh \
#       select --model ... --target ... --pool ... --budget 9000
#
# Tasks and GPUs of a node must be the same number, and every task must see all GPUs of
# its node (no --gpus-per-task, no --gpu-bind): JAX gives task i of a node its GPU i.

set -euo pipefail

if (($# == 0)); then
    echo "usage: OUT=... sbatch $0 COMMAND [FLAGS] (no --out)" >&2
    exit 2
fi
: "${OUT:?is the run directory, on a file system that all nodes share}"
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # srun does not take it from sbatch

# The same job once more, at the end of the queue; the run goes on where it was.
again() {
    if ((${SLURM_RESTART_COUNT:-0} >= ${MAX_RESTARTS:-20})); then
        echo "$1; not queued again after ${SLURM_RESTART_COUNT:-0} restarts" >&2
    else
        echo "$1; queued again" >&2
        scontrol requeue "$SLURM_JOB_ID"
    fi
}

# In the background, since bash handles signals only between commands and in `wait`.
on_all_nodes() {
    srun --kill-on-bad-exit=1 uv run --no-sync ntkjax "$@" --out "$OUT" &
    wait $!
}

trap 'again "the time limit is near"; exit 0' USR1

# Whatever the doctor finds, starting again does not mend it.
on_all_nodes doctor --distributed auto || exit 1
code=0
on_all_nodes "$@" || code=$?
case $code in
    # A peer was lost (75), or srun reports a process that was aborted or killed.
    75 | 134 | 137 | 139) again "exit code $code: a process was lost" ;;
esac
exit "$code"
