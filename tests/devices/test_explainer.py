import json
import socket
import subprocess
import sys

import pytest

from ntkjax.devices import explainer
from ntkjax.devices.explainer import explanation, named


PREFIX = "E1123 client.h:90] Terminating process because the JAX distributed service "
LOST = PREFIX + (
    "detected fatal errors. absl::Status: UNAVAILABLE: The following tasks are "
    "unhealthy (stopped sending heartbeats):\n1\n3\n"
)
LATE = PREFIX + (
    "detected fatal errors. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded\n"
    "RPC: /tensorflow.CoordinationService/RegisterTask"
)
GONE = PREFIX + (
    "detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC.\nmore"
)


def explained(text, folder, index=0, address="127.0.0.1:1"):
    return explanation(text, index, 4, address, 300, folder)


def test_lost_processes_with_host_and_stage(tmp_path):
    note = {"host": "node-7", "stage": "embeddings"}
    (tmp_path / "process-1.json").write_text(json.dumps(note))
    assert explained(LOST, tmp_path) == (
        "lost process 1 (host node-7, in: embeddings), process 3; what is written is "
        "kept: run the same command again, with any number of processes."
    )


@pytest.mark.parametrize("content", [None, "", "[]", '{"host": "x"}', "null"])
def test_a_damaged_note_leaves_the_number(tmp_path, content):
    if content is not None:
        (tmp_path / "process-2.json").write_text(content)
    assert named(2, tmp_path) == "process 2"


def test_a_missing_process(tmp_path):
    assert explained(LATE, tmp_path).startswith("not all of 4 processes came to 127.0")


def test_an_unreachable_coordinator(tmp_path):
    found = explained(LATE, tmp_path, index=1)
    assert found.startswith("the coordinator at 127.0.0.1:1 cannot be reached (waited")


def test_a_coordinator_that_answers_waits_for_others(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = explained(LATE, tmp_path, index=1, address=address)
    assert found.startswith(f"not all of 4 processes came to {address} within 300 s")


def test_a_lost_coordinator(tmp_path):
    found = explained(GONE, tmp_path, index=1)
    assert found.startswith(
        "lost the coordinator, process 0 (UNAVAILABLE: Failed to send RPC.); what is"
    )


def test_other_text_is_handed_on(tmp_path):
    assert explained("some warning\n", tmp_path) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a crash\nof another kind\n", "a crash\nof another kind\n"),
        (LATE, "ntkjax: process 0: not all of 4 processes came to 127.0.0.1:1 "),
    ],
)
def test_as_a_program(tmp_path, text, expected):
    words = ["0", "4", "127.0.0.1:1", "300", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-I", explainer.__file__, *words],
        input=text,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0
    assert ended.stdout == ""
    assert ended.stderr.startswith(expected)
