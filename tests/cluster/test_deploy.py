"""The files of `deploy/`: real parsers take their commands, and the SLURM job runs."""

import os
import re
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import dask
import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

import fractaljax as fj
from fractaljax import cli, config
from fractaljax.cli import arguments
from fractaljax.cluster import connect
from fractaljax.cluster.address import place, resources
from fractaljax.errors import FractaljaxError

connect._jobqueue()  # brings the defaults of its settings
DEPLOY = Path(__file__).parents[2] / "deploy"
SBATCH = DEPLOY / "slurm" / "scan.sbatch"
PARSERS = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}


def check_dask(words):
    """Raises unless `dask` itself takes these words."""
    PARSERS[words[1]].make_context("dask", list(words[2:]))


def check_fractaljax(words):
    """The arguments of a command; its cluster must be one."""
    found = arguments.parse(list(words[1:]))
    assert place(found.cluster).kind == "address"
    return found


def manifests():
    return [
        document
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def pods():
    """Part -> (specification of its pod, labels) of everything that runs."""
    found = {}
    for document in manifests():
        template = document.get("spec", {}).get("template")
        if template:
            found[template["metadata"]["labels"]["part"]] = template["spec"]
    return found


def test_kubernetes_runs_commands_that_exist():
    running = pods()
    assert set(running) == {"scheduler", "worker", "driver"}
    for part in ("scheduler", "worker"):
        (container,) = running[part]["containers"]
        assert container["command"][:2] == ["dask", part]
        check_dask(container["command"])
    worker = running["worker"]["containers"][0]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    given = check_fractaljax(running["driver"]["containers"][0]["command"])
    needed = resources(given.cluster_resources)
    at = worker["command"].index("--resources")
    assert needed == resources(worker["command"][at + 1])
    with pytest.raises(Exception, match=r"[Nn]o such option"):
        check_dask([*worker["command"], "--nproc"])


def test_the_image_is_of_this_version_and_sees_the_gpus_it_asks_for():
    tag = f"fractaljax:{fj.__version__}"
    assert {pod["containers"][0]["image"] for pod in pods().values()} == {tag}
    (build,) = re.findall(r"^docker build .*$", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    assert f" -t {tag} " in build and " --build-arg EXTRAS=cluster,cuda " in build
    extras = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    assert {"cluster", "cuda"} <= set(extras["optional-dependencies"])


def test_only_what_the_package_is_built_of_goes_into_the_image():
    lines = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and kept == {"fractaljax", "pyproject.toml", "README.md", "LICENSE"}
    assert all((DEPLOY.parent / name).exists() for name in kept)


def test_kubernetes_fits_together():
    kinds = {(d["kind"], d["metadata"]["name"]): d for d in manifests()}
    assert len(kinds) == len(manifests())
    service = kinds["Service", "fractaljax-scheduler"]
    scheduler = kinds["Deployment", "fractaljax-scheduler"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= scheduler["metadata"]["labels"].items()
    port = service["spec"]["ports"][0]["port"]
    address = f"tcp://{service['metadata']['name']}:{port}"
    for part in ("worker", "driver"):
        pod = pods()[part]
        assert address in pod["containers"][0]["command"]
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        for volume in pod["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert ("PersistentVolumeClaim", claim) in kinds or "configMap" in volume
            assert volume["name"] in mounts
        assert mounts["store"] == "/store"
    policy = kinds["NetworkPolicy", "fractaljax"]["spec"]
    assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == {"app": "fractaljax"}
    for document in manifests():
        selector = document.get("spec", {}).get("selector", {}).get("matchLabels")
        if selector:
            assert selector == document["spec"]["template"]["metadata"]["labels"]


def test_the_config_of_the_driver_is_one(tmp_path):
    (found,) = [d["data"]["scan.yaml"] for d in manifests() if d["kind"] == "ConfigMap"]
    (tmp_path / "scan.yaml").write_text(found)
    (experiment,) = config.experiments(config.read(tmp_path / "scan.yaml"))
    assert experiment.window.shape == (4096, 4096) and experiment.spec.steps == 500


def test_the_commands_of_the_text_exist():
    text = (DEPLOY / "README.md").read_text().replace("\\\n", " ")
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    lines = [[w for w in words if not w.startswith("CUDA_")] for words in lines]
    dasks = [words for words in lines if words[:1] == ["dask"]]
    assert len(dasks) == 3
    for words in dasks:
        check_dask(words)
    (scan,) = [words for words in lines if words[:2] == ["fractaljax", "scan"]]
    check_fractaljax(scan)


def test_the_slurm_job_says_what_sbatch_knows():
    assert subprocess.run(["bash", "-n", str(SBATCH)], capture_output=True).returncode == 0
    told = re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", SBATCH.read_text(), re.MULTILINE)
    assert len(told) == SBATCH.read_text().count("#SBATCH")
    known = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "time", "requeue", "output"}
    assert {name for name, _ in told} == known
    lines = SBATCH.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:]), "sbatch stops reading"


SRUN = """#!/usr/bin/env bash
# as the real one: as many tasks as were asked for
while [[ $1 == --* ]]; do shift; done
for ((task = 0; task < SLURM_NTASKS; task++)); do "$@" & done
trap 'kill $(jobs -p) 2> /dev/null' TERM EXIT
wait
"""
TOOL = """#!/usr/bin/env bash
exec "{python}" -m {module} "$@"
"""


@pytest.mark.slow
def test_the_slurm_job_trains(config, undisturbed, tmp_path):
    """The very file, with processes of this machine for nodes."""
    tools = tmp_path / "bin"
    tools.mkdir()
    ours = {"dask": "dask", "fractaljax": "fractaljax.cli"}
    texts = {n: TOOL.format(python=sys.executable, module=m) for n, m in ours.items()}
    for name, text in {**texts, "srun": SRUN}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755 | stat.S_IXUSR)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    environment |= {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_SUBMIT_DIR": str(tmp_path)}
    environment |= {"SCHEDULER_HOST": "127.0.0.1", "RESOURCES": "GPU=1", "DEVICES": "1"}
    words = [config, "--chunk", "2", "--tile", "4", "--out", "out"]
    done = subprocess.run(
        ["bash", SBATCH, *map(str, words)],
        env=environment, capture_output=True, text=True, timeout=240, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    field = fj.open(tmp_path / "out")
    assert field["measure"][:].tobytes() == undisturbed
    assert not list(tmp_path.glob("scheduler-*.json"))


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A command of that name, which nobody calls."""
    (tmp_path / "sbatch").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_an_interrupt_stays_one_after_the_jobs_of_slurm_are_imported():
    """dask-jobqueue 0.9.0 has Ctrl-C end its process with status 0 (`findings/`)."""
    code = """
import signal, threading
from fractaljax.cluster import connect
from fractaljax.errors import FractaljaxError

def refused():
    try:
        connect.slurm({})
    except FractaljaxError as error:
        print(error)

thread = threading.Thread(target=refused)
thread.start()
thread.join()
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been started without
connect._jobqueue()
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stderr.endswith("KeyboardInterrupt\n")
    assert done.stdout.startswith("cluster slurm: connect from the main thread first")


def test_slurm_writes_a_job_of_one_worker(sbatch):
    given = yaml.safe_load((DEPLOY / "slurm" / "jobqueue.yaml").read_text())
    whole = dask.config.merge(dask.config.config, given)  # as Dask reads its files: over defaults
    with dask.config.set(whole), dask.config.set({"jobqueue.slurm.interface": "lo"}):
        with connect.slurm({"GPU": 1.0}) as cluster:
            script = cluster.job_script()
        for line in ("-p gpu", "--cpus-per-task=8", "-t 01:00:00", "--requeue", "--gpus=1"):
            assert re.search(rf"^#SBATCH {line}$", script, re.MULTILINE), (line, script)
        command = script.strip().splitlines()[-1].split()
        words = command[command.index("distributed.cli.dask_worker") + 1 :]
        check_dask(["dask", "worker", *words])
        assert words[words.index("--nthreads") + 1] == "1" and "--lifetime" in words
        assert words[words.index("--resources") + 1] == "GPU=1"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cores": None}, "jobqueue.slurm.cores and .memory are not set"),
        ({"cores": 8, "memory": "1GB", "processes": 4}, "ask for slurm:N"),
    ],
)
def test_slurm_without_settings_is_one_line(sbatch, settings, said):
    with (
        dask.config.set({f"jobqueue.slurm.{k}": v for k, v in settings.items()}),
        pytest.raises(FractaljaxError, match=said),
    ):
        connect.slurm({})


def test_slurm_without_sbatch_is_one_line(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with dask.config.set({"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB"}):
        words = ["scan", str(config), "--cluster", "slurm:2", "--out", str(tmp_path / "out")]
        assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "sbatch" in err, err
