"""Scans, zooms, sweeps and studies on two worker processes: the bits of one process alone."""

import contextlib
import csv
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import small

import fractaljax as fj
from fractaljax import cli
from fractaljax.cluster import Busy, Piece, connect, deal, fitness
from fractaljax.cluster.deal import PATIENCE_S
from fractaljax.errors import FractaljaxError
from fractaljax.families import studies
from fractaljax.families.zoom import shared

pytestmark = pytest.mark.slow
CHUNK, TILE = 2, 2
SWEEP = """
model: {name: deep_linear, num_hidden: 2, hidden_dim: 4}
data: {in_dim: 3, out_dim: 3, train_samples: 20, test_samples: 10, scale: 2.0}
training: {lr: 1.0e-2, batch_size: 5}
metrics: [test_loss]
max_steps: 20
num_evaluations: 4
dtype: float64
"""
GROW = small.GROW + small.RANDOM + "claims: {helps: grown > random}"


def tables(folder: Path) -> dict[str, str]:
    """Every table in a folder."""
    return {
        str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.csv"))
    }


def test_a_scan_is_that_of_one_process(team, config, undisturbed, tmp_path):
    spec, window = fj.load(config)
    heard = []
    how = {"store": tmp_path / "out", "cluster": team}
    field = fj.scan(spec, window, chunk=CHUNK, tile=TILE, on_tile=heard.append, **how)
    assert field["measure"].tobytes() == undisturbed and field.done.all()
    made = field.provenance
    assert (made["pixels"], made["runs"], made["chunk"]) == (256, 1, CHUNK)
    assert len(heard) == 64 and heard[-1].left == 0 and heard[-1].pixels == 256
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/field").rglob("c/*/*")}
    again = fj.scan(spec, window, **how)  # nothing is left to do, and the setting is the store's
    assert again["measure"].tobytes() == undisturbed and again.provenance["runs"] == 1
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out/field").rglob("c/*/*")}
    with pytest.raises(FractaljaxError, match="begun with chunk=2"):
        fj.scan(spec, window, chunk=4, **how)


def test_workers_take_the_coordinates_that_a_result_keeps(team, config, tmp_path):
    spec, window = fj.load(config)
    window = window.resized(4)
    axes = (a.keeping(a.points() * (1 + 1e-15), "another") for a in window.axes)
    other = fj.Window(*axes)
    alone = fj.scan(spec, other, chunk=CHUNK)
    how = {"store": tmp_path / "out", "chunk": CHUNK, "tile": TILE}

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # begun by one process, after the first tile
        fj.scan(spec, other, **how, on_tile=interrupt)
    field = fj.scan(spec, window, **how, cluster=team)
    assert field.done.all() and field.provenance["coordinates"] == "another"
    assert field.x.tobytes() == alone.x.tobytes()
    assert field["measure"].tobytes() == alone["measure"].tobytes()


def test_a_scan_without_a_folder_is_refused(config):
    spec, window = fj.load(config)
    with pytest.raises(FractaljaxError, match="give a store"):
        fj.scan(spec, window, cluster="local:2")


def test_a_zoom_takes_over_what_it_knows(team, config, tmp_path):
    spec, window = fj.load(config, ["steps=200"])
    how = {"levels": 3, "center": [0.5, 0.5], "chunk": CHUNK, "tile": 8}
    alone = fj.zoom(spec, window, tmp_path / "alone", **how)
    heard = []
    dealt = fj.zoom(
        spec, window, tmp_path / "dealt", cluster=team, on_tile=lambda *a: heard.append(a), **how
    )
    for one, other in zip(alone.levels, dealt.levels, strict=True):
        assert one["measure"][:].tobytes() == other["measure"][:].tobytes()
        assert one.provenance.get("known") == other.provenance.get("known")
    assert alone.levels[2].provenance["known"] > 0 and {level for level, _ in heard} == {0, 1, 2}
    assert shared(dealt.levels[0], dealt.levels[1].window, CHUNK) is not None


def test_a_sweep_fills_the_same_table(team, tmp_path):
    (tmp_path / "small.yaml").write_text(SWEEP)
    words = ["model.gamma=0.75,1.0", "model.hidden_dim=3,4", "batch_seed=0..8"]
    how = {"chunk": 2, "dtype": "float64"}
    alone = fj.sweep(tmp_path / "small.yaml", words, out=tmp_path / "alone", **how)
    heard = []
    told = {"cluster": team, "on_part": heard.append, "out": tmp_path / "dealt", **how}
    dealt = fj.sweep(tmp_path / "small.yaml", words, **told)
    assert len(dealt) == 32 and heard[-1].done == heard[-1].trained == 32
    for run in alone:
        other = dealt.select(run.overrides)
        assert len(other) == 1
        assert run["test_loss"].tobytes() == other[0]["test_loss"].tobytes()
    heard.clear()
    assert len(fj.sweep(tmp_path / "small.yaml", words, **told)) == 32
    assert heard[-1].trained == 0 and heard[-1].done == 32
    told["rerun"] = {"batch_seed": 3}
    assert len(fj.sweep(tmp_path / "small.yaml", words, **told)) == 32 and heard[-1].trained == 4


def test_a_search_and_a_transfer_are_the_same(team, tmp_path):
    (tmp_path / "study.yaml").write_text(small.SEARCH)
    how = small.NUMERIC["search"]
    for name, cluster in (("alone", None), ("dealt", team)):
        found = studies.search(tmp_path / "study.yaml", out=tmp_path / name, cluster=cluster, **how)
        assert set(found.losses) == {"4", "6"}
        place = tmp_path / f"{name}_moved"
        studies.transfer(tmp_path / name, out=place, cluster=cluster, **how)
    assert tables(tmp_path / "alone") == tables(tmp_path / "dealt")
    moved = tables(tmp_path / "dealt_moved")
    assert tables(tmp_path / "alone_moved") == moved and any("targets" in name for name in moved)


def test_growing_networks_wait_for_what_they_start_from(team, tmp_path):
    (tmp_path / "grow.yaml").write_text(GROW)
    for name, cluster in (("alone", None), ("dealt", team)):
        told = studies.grow(
            tmp_path / "grow.yaml", out=tmp_path / name, cluster=cluster, **small.NUMERIC["grow"]
        )
        assert not told.missing
    dealt = tables(tmp_path / "dealt")
    assert tables(tmp_path / "alone") == dealt and len(dealt) > 4
    with open(tmp_path / "dealt/arms/random/members.csv") as file:
        assert len(list(csv.DictReader(file))) == 3


# What follows runs on the workers: they import this file.


def echo(value, copy):
    return value, copy


def dies(copy):
    os.kill(os.getpid(), signal.SIGKILL)


def stumbles(place, times, copy):
    tried = len(list(place.iterdir()))
    (place / str(tried)).touch()
    if tried < times:
        raise OSError("a moment please")
    return tried


def refuses(copy):
    raise FractaljaxError("no such thing")


def lacks(place, copy):
    """Of two processes the first that comes cannot."""
    with contextlib.suppress(FileExistsError), open(place, "x") as file:
        file.write(str(os.getpid()))
    time.sleep(0.2)  # so that both have their share
    if place.read_text() == str(os.getpid()):
        raise fitness.Unfit("no compiler")
    return os.getpid()


def waits(place, copy):
    return "done" if place.exists() else Busy("not there yet")


def sleeps(place, copy):
    """Slow for the first who comes, until the file is gone; quick for the copy."""
    if not copy:
        place.touch()
        end = time.monotonic() + 120
        while place.exists() and time.monotonic() < end:
            time.sleep(0.1)
    return copy


def dealt(team, *pieces, **how):
    found = {}
    deal(
        team,
        pieces,
        dtype="float64",
        heard=lambda piece, receipt: found.__setitem__(piece.name, receipt),
        **how,
    )
    return found


def test_a_piece_that_fails_for_a_moment_is_tried_again(team, tmp_path):
    for name in ("some", "many"):
        (tmp_path / name).mkdir()
    assert dealt(team, Piece("a", stumbles, (tmp_path / "some", 2))) == {"a": 2}
    with pytest.raises(FractaljaxError, match=r"failed 3 times, at last on .* a moment please"):
        dealt(team, Piece("a", stumbles, (tmp_path / "many", 99)))
    with pytest.raises(FractaljaxError, match=r"^no such thing$"):
        dealt(team, Piece("a", refuses, ()), Piece("b", echo, (1,)))


def test_a_busy_piece_is_tried_again(team, tmp_path):
    place, heard = tmp_path / "there", []

    def shown():
        heard.append(None)
        if len(heard) > 3:
            place.touch()

    assert dealt(team, Piece("a", waits, (place,)), shown=shown) == {"a": "done"}


def test_a_late_piece_is_handed_out_again(team, tmp_path):
    clock = time.monotonic()
    pieces = [Piece("slow", sleeps, (tmp_path / "begun",)), Piece("b", echo, (1,))]
    try:
        assert dealt(team, *pieces) == {"slow": True, "b": (1, False)}
        assert PATIENCE_S < time.monotonic() - clock < 45
    finally:
        (tmp_path / "begun").unlink(missing_ok=True)  # the worker is free for other tests


@pytest.fixture
def spoiled(team, monkeypatch):
    """The team, of which a test may have workers left out."""
    monkeypatch.setattr(connect, "NOBODY_S", 1.0)
    left_out = dict(team._left_out)
    yield team
    team._left_out, team._useless, team._looked = left_out, None, -connect.LOOK_S


def test_workers_of_other_versions_are_left_out(spoiled, monkeypatch):
    other = {**fitness.versions(), "jax": "0.0.1"}
    monkeypatch.setattr(fitness, "versions", lambda: other)
    for connecting in (False, True):
        if connecting:
            spoiled._left_out = {}
            spoiled.leave_out_unfit()
            assert len(spoiled._left_out) == 2
        with pytest.raises(
            FractaljaxError, match=r"all workers \(2\) are left out.* jax .*0\.0\.1"
        ):
            dealt(spoiled, Piece("a", echo, (1,)))


def test_a_worker_that_lacks_something_is_left_out_and_others_do_its_piece(spoiled, tmp_path):
    pieces = [Piece(f"tile {i}", lacks, (tmp_path / "first",)) for i in range(4)]
    found = dealt(spoiled, *pieces)
    assert len(found) == 4 and len(set(found.values())) == 1
    assert [*spoiled._left_out.values()] == ["no compiler"]


def test_everything_listens_on_the_loopback_address_only(team):
    """Scheduler, workers and what watches over them, as the kernel lists it."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    addresses = [
        connection.laddr.ip
        for process in family
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(addresses) >= 5, "a scheduler, two workers and what watches over them"
    assert set(addresses) == {"127.0.0.1"}


def test_the_command_line_trains_on_a_cluster(config, tmp_path, capsys, caplog):
    """With nothing pinned: a small scan is not worth measuring, and both choose alike."""
    words = ["scan", str(config), "--tile", "8", "--cluster", "local:1"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 0
    found, alone = fj.open(tmp_path / "out"), fj.scan(*fj.load(config), tile=8)
    assert found["measure"][:].tobytes() == alone["measure"].tobytes()
    for name in ("chunk", "kernel"):
        assert found.provenance[name] == alone.provenance[name]
        assert f"{name} {found.provenance[name]}" in caplog.text
    assert (tmp_path / "out/figure.png").exists()
    assert np.isfinite(fj.open(tmp_path / "out").provenance["wall_s"])
    capsys.readouterr()


def test_a_piece_that_kills_its_workers_is_named_and_all_others_are_done(team):
    """The last one: Dask (2026.8.0) starts no other worker for one that dies while it starts."""
    found = {}
    pieces = [Piece(f"tile {i}", echo, (i,)) for i in range(6)]
    pieces.insert(2, Piece("tile 9", dies, ()))
    with pytest.raises(FractaljaxError, match=r"tile 9: failed 3 times, its worker was killed"):
        deal(
            team, pieces, dtype="float64",
            heard=lambda piece, receipt: found.__setitem__(piece.name, receipt[0]),
        )  # fmt: skip
    assert found == {f"tile {i}": i for i in range(6)}
