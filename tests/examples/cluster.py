"""A cluster in a folder: its programs are stood in for by one that notes its words."""

import os
import pathlib
import subprocess
import time
from dataclasses import dataclass


LAUNCH = pathlib.Path(__file__).parents[2] / "examples" / "launch"

STAND_IN = r"""#!/usr/bin/env bash
name="${0##*/}"
{ printf '%s\x1f' "$name" "$@"; echo; } >>"$RECORD"
case "$name" in
    gcloud | xpk)
        for word; do
            if [[ "$word" == --command=* ]]; then bash -c "${word#--command=}"; fi
        done ;;
    srun) while [[ "$1" == --* ]]; do shift; done; exec "$@" ;;
    uv) shift 2; exec "$@" ;; # run --no-sync
    ntkjax)
        if [[ "$1" == doctor ]]; then exit "${DOCTOR:-0}"; fi
        sleep "${SECONDS_OF_WORK:-0}"
        exit "${CODE:-0}" ;;
esac
"""

VARIABLES = {
    "CLUSTER": "cluster",
    "IMAGE": "image:1",
    "OUT": "gs://bucket/a run",
    "PROJECT": "project",
    "SLURM_CPUS_PER_TASK": "8",
    "SLURM_JOB_ID": "7",
    "TPU_NAME": "slice",
    "TPU_TYPE": "v5litepod-16",
    "ZONE": "zone-b",
}

WORDS = ["select", "--model", "a model's", "--pool", "$HOME;*"]
"""What a shell that reads them once too often, or too seldom, would change."""


@dataclass(frozen=True)
class Cluster:
    """A folder in which the programs of clusters are stood in for."""

    folder: pathlib.Path

    def environment(self, **variables: str) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
        told = {"PATH": path, "RECORD": str(self.folder / "record")}
        return kept | VARIABLES | told | variables

    def run(self, script: str, *words: str, **variables: str):
        return subprocess.run(
            ["bash", LAUNCH / script, *words],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self, name: str) -> list[list[str]]:
        """The words of every call of a program, oldest first."""
        record = self.folder / "record"
        lines = record.read_text().splitlines() if record.exists() else []
        split = [line.removesuffix("\x1f").split("\x1f") for line in lines]
        return [words[1:] for words in split if words[0] == name]

    def wait_for(self, name: str, number: int) -> list[list[str]]:
        """The calls, once there are so many."""
        end = time.monotonic() + 30
        while len(self.calls(name)) < number and time.monotonic() < end:
            time.sleep(0.05)
        return self.calls(name)


def make_cluster(folder: pathlib.Path) -> Cluster:
    (folder / "bin").mkdir()
    (folder / "ntkjax").mkdir()  # the checkout on a host
    for name in ("gcloud", "xpk", "srun", "scontrol", "uv", "ntkjax"):
        (folder / "bin" / name).write_text(STAND_IN)
        (folder / "bin" / name).chmod(0o755)
    return Cluster(folder)
