#!/usr/bin/env bash
# An ntkjax command on all hosts of a Cloud TPU slice (TPU VM), from your own machine.
#
#   TPU_NAME=... ZONE=... OUT=gs://... examples/launch/tpu_vm.sh \
#       select --model ... --target ... --pool ... --budget 9000
#
# First the doctor, in the foreground; if all hosts agree, the command in the
# background, so that a lost connection does not end it. After a preemption run it again.

set -euo pipefail

if (($# == 0)); then
    echo "usage: TPU_NAME=... ZONE=... OUT=... $0 COMMAND [FLAGS] (no --out)" >&2
    exit 2
fi
: "${TPU_NAME:?is the name of the TPU slice}"
: "${ZONE:?is the zone of the TPU slice}"
: "${OUT:?is the run directory, one that all hosts see: gs://... or a shared mount}"
checkout="${CHECKOUT:-ntkjax}" # on each host, below the home folder

# JAX 0.8.1 and newer take port 8482, which the default firewall of a TPU slice keeps
# closed: the hosts then wait for each other in vain. 8476 is open.
port="${JAX_COORDINATOR_PORT:-8476}"

on_all_hosts() {
    gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$ZONE" --worker=all \
        --command="$1"
}

# Quoted once more, since a shell on the host reads them again.
printf -v there 'cd %q && export JAX_COORDINATOR_PORT=%q || exit 1' "$checkout" "$port"
there+="; export PATH=\"\$PATH:\$HOME/.local/bin\"" # has uv; no profile is read there
printf -v out '%q' "$OUT"
printf -v words ' %q' "$@"

on_all_hosts "$there; uv run --no-sync ntkjax doctor --distributed auto --out $out"
on_all_hosts "$there; nohup uv run --no-sync ntkjax$words --out $out \
</dev/null >>ntkjax.log 2>&1 &"

echo "Started. Each host writes $checkout/ntkjax.log."
