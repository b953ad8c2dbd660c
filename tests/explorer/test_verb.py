"""The verb: what it refuses, and that Ctrl-C ends it cleanly."""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fractaljax.cli.explore import add_explore, explore
from fractaljax.errors import FractaljaxError

SMALL = ["model.width=4", "problem.inputs=4", "problem.points=8", "steps=5"]
RUN = """
import sys
from test_verb import parsed
from fractaljax.cli.explore import explore
sys.exit(explore(parsed(sys.argv[1:])))
"""


def parsed(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("config", nargs="?")
    parser.add_argument("overrides", nargs="*", default=[])
    parser.add_argument("--only")
    parser.add_argument("--plugin", action="append", default=[])
    add_explore(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port 70000"),
        (["--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
        (["--host", "300.1.1.1"], "--host 300.1.1.1: no such address"),
        (["--host", "a" * 70], "no such address"),
        (["model.widht=3"], "Did you mean 'model.width'"),
        (["window.y=null"], "two axes"),
        (["nothing.yaml"], "no file nothing.yaml"),
    ],
)
def test_what_cannot_be_served_costs_one_line(words, message, tmp_path):
    with pytest.raises(FractaljaxError, match=message):
        explore(parsed(["--no-open", "--port", "0", "--out", str(tmp_path), *words]))
    assert not any(tmp_path.iterdir())


def test_a_file_is_no_folder_of_maps(tmp_path):
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(FractaljaxError, match="mine: Not a directory"):
        explore(parsed(["--no-open", "--port", "0", "--out", str(tmp_path / "mine"), *SMALL]))
    assert (tmp_path / "mine").read_text() == "kept"


def test_a_port_that_is_taken_is_named():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(FractaljaxError, match="choose another --port"),
    ):
        explore(parsed(["--no-open", "--port", str(taken.getsockname()[1])]))


@pytest.mark.slow
def test_it_says_where_it_is_and_ends_with_an_interrupt(tmp_path):
    command = [
        sys.executable,
        "-c",
        RUN,
        *SMALL,
        "--port",
        "0",
        "--no-open",
        "--out",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        said = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
        start = httpx.get(f"{url}api/start").json()["map"]
        assert start["settings"]["steps"] == 5 and start["dtype"] == "float64"
        tile = httpx.get(f"{url}api/maps/{start['id']}/tiles/4/0/0", timeout=60)
        assert tile.headers["x-trained"] == "256"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert (tmp_path / start["id"] / "l4" / "0_0" / "runs.jsonl").read_text()
