#!/usr/bin/env bash
# An ntkjax command on TPU slices of a GKE cluster, by xpk.
#
#   CLUSTER=... PROJECT=... ZONE=... TPU_TYPE=v5litepod-16 IMAGE=... OUT=gs://... \
#       examples/launch/xpk.sh select --model ... --target ... --pool ... --budget 9000
#
# IMAGE has ntkjax installed and on its PATH. NUM_SLICES (1), MAX_RESTARTS (20) and
# WORKLOAD (ntkjax), the name, may be set too.

set -euo pipefail

if (($# == 0)); then
    echo "usage: CLUSTER=... PROJECT=... ZONE=... TPU_TYPE=... IMAGE=... OUT=... $0" \
        "COMMAND [FLAGS] (no --out)" >&2
    exit 2
fi
: "${CLUSTER:?is the GKE cluster}"
: "${PROJECT:?is the project of the cluster}"
: "${ZONE:?is the zone of the cluster}"
: "${TPU_TYPE:?is the type of a slice, as v5litepod-16}"
: "${IMAGE:?is a container image with ntkjax}"
: "${OUT:?is the run directory, one that all pods see: gs://... or a shared mount}"

# Quoted once more, since a shell in the pod reads them again.
printf -v out '%q' "$OUT"
printf -v words ' %q' "$@"

# The doctor has a port of its own: its coordinator may still be closing when the
# command's opens. Pods start minutes apart, hence the long wait. xpk restarts after
# the exit codes 42 and 127-255 anyway; 75 is "a peer process was lost". Whatever the
# doctor finds, a restart does not mend it. The line that says why a process was lost
# comes from another process of the pod, which is given time to write it.
patience="--initialization-timeout 1200"
doctor="JAX_COORDINATOR_PORT=8476 ntkjax doctor --distributed auto --out $out $patience"

xpk workload create \
    --workload="${WORKLOAD:-ntkjax}" \
    --cluster="$CLUSTER" \
    --project="$PROJECT" \
    --zone="$ZONE" \
    --tpu-type="$TPU_TYPE" \
    --num-slices="${NUM_SLICES:-1}" \
    --docker-image="$IMAGE" \
    --max-restarts="${MAX_RESTARTS:-20}" \
    --restart-on-exit-codes=75 \
    --command="$doctor || exit 1; ntkjax$words --out $out $patience || \
{ code=\$?; sleep 10; exit \$code; }"
