"""What may be written for a cluster, and what is said of everything else, in one line."""

import errno
import fcntl
import sys

import pytest

from fractaljax import cli
from fractaljax.cli import arguments, study
from fractaljax.cluster import connect
from fractaljax.cluster.address import Place, place, resources
from fractaljax.errors import FractaljaxError
from fractaljax.families import autopilot, studies
from fractaljax.store.claims import Claims


def refused(capsys, *words):
    assert cli.main([*map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("fractaljax: "), (out, err)
    return err


def test_what_a_cluster_may_be(tmp_path):
    (tmp_path / "scheduler.json").write_text('{"address": "tcp://10.0.0.1:8786", "id": "x"}')
    file = str(tmp_path / "scheduler.json")
    assert place("local:4") == Place("local", 4)
    assert (place("slurm"), place("slurm:12")) == (Place("slurm", 1), Place("slurm", 12))
    assert place("tcp://127.0.0.1:8786") == Place("address", "tcp://127.0.0.1:8786")
    assert place("tls://[::1]:8786").kind == "address"
    assert place(file) == Place("address", "tcp://10.0.0.1:8786")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("locla:2", "Did you mean 'local'?"),
        ("lcoal", "Did you mean 'local'?"),
        ("local", "local:N takes a number of 1 to 4096"),
        ("local:0", "local:N takes a number of 1 to 4096"),
        ("local:-1", "local:N takes a number"),
        ("local:2.5", "local:N takes a number"),
        ("local:99999", "1 to 4096"),
        ("slurm:x", "slurm:N takes a number"),
        ("Slurm:3", "Did you mean 'slurm'?"),
        ("node7:8786", "did you mean 'tcp://node7:8786'?"),
        ("tcp:/node7:8786", "Did you mean 'tcp'?"),
        ("http://node7:8786", "Allowed are local:N"),
        ("missing.json", "Allowed are local:N"),
        ("", "Allowed are local:N"),
        ("a\nb", "Allowed are local:N"),
    ],
)
def test_what_it_may_not_be(text, said):
    with pytest.raises(FractaljaxError) as error:
        place(text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_resources():
    assert resources(None) == {} and resources("GPU=1,MEM=8e9") == {"GPU": 1.0, "MEM": 8e9}
    for text in ("GPU", "GPU=", "GPU=x", "GPU=0", "GPU=-1", "GPU=inf", "GPU=nan", "=1", "a b=1"):
        with pytest.raises(FractaljaxError, match="takes NAME=NUMBER"):
            resources(text)


def test_flags_that_nobody_would_read_are_refused(tmp_path, capsys):
    path = tmp_path / "small.yaml"
    path.write_text("model: {width: 4}\nsteps: 5\nwindow: {resolution: 4}\n")
    assert "no --cluster" in refused(capsys, "scan", path, "--cluster-resources", "GPU=1")
    words = ("sweep", path, "seed=0..4", "--dry-run", "--cluster", "local:2")
    assert "--dry-run measures this machine" in refused(capsys, *words)
    words = ("grow", "resume", "x.yaml", "--cluster", "local:2")
    assert "--cluster is not read" in refused(capsys, *words)
    words = ("scan", path, "--cluster", "locla:2", "--out", tmp_path / "out")
    assert "Did you mean 'local'?" in refused(capsys, *words)
    words = ("scan", path, "--cluster", "local:2", "--devices", "0", "--out", tmp_path / "out")
    assert "devices=0" in refused(capsys, *words)
    assert not (tmp_path / "out").exists()


def test_devices_of_a_worker_are_none_of_the_driver(tmp_path, monkeypatch):
    """Also where this machine has fewer."""
    given = arguments.parse(["search", "x.yaml", "--devices", "512", "--cluster", "local:2"])
    assert study.numeric(given).devices is None
    assert studies._own(512, None, "local:2").devices is None
    assert studies._own(512, None, None).devices == 512
    alone = arguments.parse(["search", "x.yaml", "--devices", "512"])
    assert study.numeric(alone).devices == 512
    asked = []

    def find(*_, devices, **__):
        asked.append(devices)
        raise FractaljaxError("no way")

    monkeypatch.setattr(autopilot, "find", find)
    path = tmp_path / "small.yaml"
    path.write_text("model: {width: 4}\nsteps: 5\nwindow: {resolution: 4}\n")
    words = ["zoom", str(path), "--auto", "--devices", "512", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--cluster", "local:2"]) == 2
    assert asked == [None]


def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(connect, "ANSWER_S", 0.5)
    path, file = tmp_path / "small.yaml", tmp_path / "scheduler.json"
    path.write_text("model: {width: 4}\nsteps: 5\nwindow: {resolution: 4}\n")
    words = ("scan", path, "--out", tmp_path / "out", "--cluster")
    assert "no scheduler answers" in refused(capsys, *words, "tcp://127.0.0.1:9")
    for text in ("{}", "[]", "no json", '{"address": 3}'):
        file.write_text(text)
        assert str(file) in refused(capsys, *words, file)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_line_says_what_to_install(tmp_path, capsys, monkeypatch):
    path = tmp_path / "small.yaml"
    path.write_text("model: {width: 4}\nsteps: 5\nwindow: {resolution: 4}\n")
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refused(capsys, "scan", path, "--cluster", "local:2", "--out", tmp_path / "out")
    assert "pip install 'fractaljax[cluster]'" in said


def test_a_file_system_without_locks_lets_everybody_train(tmp_path, monkeypatch):
    def lockf(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    held = Claims(tmp_path)
    monkeypatch.setattr(fcntl, "lockf", lockf)
    held.be_alone()
    held.be_present()
    assert held.take(3)
    held.release(3)
    held.close()

    def taken(*_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "lockf", taken)
    assert not Claims(tmp_path).take(3)
