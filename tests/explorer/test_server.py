"""The explorer's server, over HTTP: tiles trained once, kept, shared; everything else refused."""

import base64
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import uvicorn

import fractaljax as fj
from fractaljax.explorer import geometry, maps, server
from fractaljax.explorer.geometry import Place
from fractaljax.explorer.queue import URGENT, Urgency
from fractaljax.families import explore

SPEC = fj.Spec(
    model=fj.Part("mlp", width=4),
    problem=fj.Part("random_regression", inputs=4, points=8),
    steps=20,
    dtype="float64",
)
WINDOW = fj.Window(fj.Axis("optimizer.lr_in", 1e-3, 1e6), fj.Axis("optimizer.lr_out", 1e-3, 1e6))
WAIT_S = 60


class Served:
    """A server on a free port, and a client of it."""

    def __init__(self, folder, spec=SPEC):
        self.app = server.make_app(spec, WINDOW, title="test", folder=folder)
        self.explorer = self.app.state.explorer
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning"))
        options = {"sockets": [listener]}
        self._thread = threading.Thread(target=self._server.run, kwargs=options, daemon=True)
        self._thread.start()
        wait(lambda: self._server.started)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=WAIT_S)
        self.start = self.client.get("/api/start").json()["map"]

    def tile(self, level, x=0, y=0, reading=None):
        asked = {"reading": reading} if reading else {}
        return self.client.get(f"/api/maps/{self.start['id']}/tiles/{level}/{x}/{y}", params=asked)

    def trained(self):
        return self.client.get("/api/status").json()["trained"]

    def render(self, body):
        return self.client.post(f"/api/maps/{self.start['id']}/renders", json=body)

    def stop(self):
        self.client.close()
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        wait(lambda: self.explorer.idle)


def wait(happened):
    end = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def made(answer):
    """Points trained and reused for an answer."""
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-trained"]), int(answer.headers["x-reused"])


def values(answer):
    assert answer.status_code == 200, answer.text
    found = np.frombuffer(answer.content, "<f4")
    return found.reshape(2 * [round(found.size**0.5)])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    running = Served(tmp_path_factory.mktemp("explore"))
    yield running
    running.stop()


@pytest.fixture
def hold(served):
    """Keeps the training thread busy until it is released; the test then frees it."""
    go, held = threading.Event(), threading.Event()

    def work():
        held.set()
        go.wait(WAIT_S)
        yield 0.0

    served.explorer._queue.ask("held", work, Urgency(URGENT, 0))
    assert held.wait(WAIT_S)
    yield go
    go.set()


def test_the_first_map_says_what_the_page_needs(served):
    start = served.start
    assert start["readings"] == ["measure", "status", "diverged_at"]
    assert (start["tile"], start["min_level"], start["floor_level"]) == (64, 4, 56)
    assert start["axes"]["x"] == {
        "path": "optimizer.lr_in",
        "label": "LR0",
        "scale": "log",
        "low": -3.0,
        "high": 6.0,
    }
    assert start["settings"]["model.width"] == 4 and start["settings"]["window.y"] == "LR1"
    assert {"tanh", "relu"} <= set(start["choices"]["model.activation"])
    assert {"LR0", "MOMENTUM"} <= set(start["choices"]["axes"])
    assert served.client.get(f"/api/maps/{start['id']}").json()["id"] == start["id"]


def test_levels_refine_in_place_and_nothing_is_trained_twice(served):
    assert [made(served.tile(level)) for level in (4, 5, 6)] == [(256, 0), (768, 256), (3072, 1024)]
    assert made(served.tile(6)) == (0, 0)
    coarse, fine = values(served.tile(5)), values(served.tile(6))
    np.testing.assert_array_equal(coarse, fine[::2, ::2])
    np.testing.assert_array_equal(values(served.tile(4)), coarse[::2, ::2])


def test_coarse_tiles_take_over_what_finer_ones_hold(served):
    served.tile(6)  # gives an eighth of each row to level 9, a quarter to level 8
    assert made(served.tile(9, 6, 6)) == (4096 - 8**2, 8**2)
    assert made(served.tile(9, 7, 6)) == (4096 - 8**2, 8**2)
    assert made(served.tile(8, 3, 3)) == (2048 - 16**2 // 2, 2048 + 16**2 // 2)
    assert made(served.tile(9, 6, 7)) == (3072, 1024)


@pytest.mark.parametrize("place", [Place(5, 0, 0), Place(33, 2**26 + 5, 2**25)], ids=str)
def test_a_tile_is_what_a_scan_of_its_samples_gives(served, place):
    spec = served.explorer._start.spec
    roots = served.explorer._start.roots
    chunk = served.client.get("/api/start").json()["map"]["statistics"]["chunk"]
    field = fj.scan(spec, geometry.window(roots, place), chunk=chunk)
    for reading in ("measure", "status", "diverged_at"):
        expected = field[reading].astype("f4")
        np.testing.assert_array_equal(values(served.tile(*place, reading)), expected)
    assert len(np.unique(field["measure"])) > 10  # not flat: something was compared


def test_a_block_is_an_ordinary_result_folder(served):
    shown = values(served.tile(7, 1, 0))
    field = fj.open(served.explorer._start.folder / "l7" / "0_0")
    assert field.window.shape == (128, 128)
    assert field.done[:64, 64:].all() and not field.done[64:].any()
    np.testing.assert_array_equal(field["measure"][:64, 64:].astype("f4"), shown)


def test_a_tile_that_many_ask_for_is_trained_once(served):
    before = served.trained()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: served.tile(12, 40, 50), range(16)))
    trained = max(made(a)[0] for a in answers)
    assert served.trained() - before == trained > 4000
    assert len({a.content for a in answers}) == 1


def test_readings_of_one_tile_are_trained_together(served):
    served.tile(12, 41, 50)
    before = served.trained()
    assert set(np.unique(values(served.tile(12, 41, 50, "status")))) <= {0, 1, 2, 3, 4}
    assert values(served.tile(12, 41, 50, "diverged_at")).min() >= -1
    assert served.trained() == before


def test_beyond_the_precision_floor_there_is_nothing_and_down_to_it_tiles_differ(served):
    answer = served.tile(57, 2**50, 2**50)
    assert answer.status_code == 410 and "precision floor" in answer.json()["error"]
    floor = served.tile(56, 2**49 + 12345, 2**48)
    assert made(floor) == (4096, 0) and values(floor).shape == (64, 64)


def test_a_request_that_is_given_up_is_not_trained(served, hold):
    before, queue = served.trained(), served.explorer._queue
    with socket.create_connection(("127.0.0.1", served.port)) as leaving:
        path = f"/api/maps/{served.start['id']}/tiles/13/99/99"
        leaving.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait(lambda: queue.waiting == 2)
    wait(lambda: queue.waiting == 1)
    hold.set()
    wait(lambda: queue.waiting == 0)
    assert served.trained() == before


def test_a_full_queue_says_when_to_come_back(served, monkeypatch):
    monkeypatch.setattr(served.explorer._queue, "_most", 0)
    answer = served.tile(14, 3, 3)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "waiting" in answer.json()["error"]


def test_what_was_dropped_half_way_is_not_trained_again(served):
    shown, place = served.explorer._start, Place(15, 7, 9)
    work = shown.tiles.work(place)
    next(work)
    first = shown.training.trained
    work.close()
    count = sum(1 for _ in shown.training.slices(np.empty((0, 2))))
    assert count == 0
    before = shown.training.trained
    trained, reused = made(served.tile(*place))
    assert reused == 0 and shown.training.trained - before == trained < 4096
    assert first > 0
    field = fj.scan(
        shown.spec, geometry.window(shown.roots, place), chunk=shown.training.numeric["chunk"]
    )
    np.testing.assert_array_equal(values(served.tile(*place)), field["measure"].astype("f4"))


def test_a_tile_that_another_process_trains_is_waited_for(served):
    """The other process is killed: its claim goes with it, and the tile is trained here."""
    shown = served.explorer._start
    assert made(served.tile(16, 16, 16))[0] == 4096  # makes the block; the tile beside it is next
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(f, fcntl.LOCK_EX, 1, 1); print('held', flush=True); time.sleep(60)"
    )
    claims = shown.folder / "l16" / "1_1" / "claims"
    command = [sys.executable, "-c", code, str(claims)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(served.tile, 16, 17, 16)
            assert made(served.tile(16, 30, 30))[0] == 4096  # others go on meanwhile
            assert not asked.done()
            other.kill()
            assert made(asked.result(WAIT_S))[0] == 4096


def test_a_damaged_tile_is_trained_again(served, caplog):
    whole = values(served.tile(17, 0, 0))
    file = served.explorer._start.folder / "l17" / "0_0" / "field" / "measure" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-5] + b"xxxxx")
    answer = served.tile(17, 0, 0)
    assert made(answer)[0] == 4096 and "damaged" in caplog.text
    np.testing.assert_array_equal(values(answer), whole)


def test_a_click_agrees_with_its_pixel(served):
    shown = values(served.tile(6))
    for row, column in ((5, 9), (32, 32), (40, 20), (60, 60)):
        x, y = (-3 + i * 9 / 64 for i in (column, row))
        path = f"/api/maps/{served.start['id']}/point"
        answer = served.client.get(path, params={"x": repr(x), "y": repr(y), "level": 6}).json()
        assert np.float32(answer["readings"]["measure"]) == shown[row, column]
        assert answer["values"]["LR0"] == pytest.approx(10**x)
        curve, every = answer["curve"]["loss"], answer["curve"]["every"]
        assert (len(curve), every) == (20, 1)
        finite = np.array([np.inf if v is None else v for v in curve])
        converged = np.mean(finite / finite[0]) < 1
        assert (answer["readings"]["status"] == "converged") == converged
        assert (shown[row, column] < 0) == converged


def test_a_box_is_rendered_in_the_background(served):
    body = {"x": ["0.5", "1.5"], "y": ["0", "2.25"], "side": 80}
    render = served.render(body).json()
    place = f"/api/renders/{render['id']}"
    wait(lambda: served.client.get(place).json()["state"] not in ("waiting", "running"))
    done = served.client.get(place).json()
    assert (done["state"], done["done"], done["total"], done["error"]) == ("done", 6400, 6400, None)
    assert served.client.get(done["picture"]).content.startswith(b"\x89PNG")
    field = fj.open(done["folder"])
    assert field.done.all() and field.window.shape == (80, 80)
    assert field.x[0] == pytest.approx(10**0.5) and field.y[40] == pytest.approx(10**1.125)
    before = served.trained()  # the same box again is there already
    again = served.render(body).json()["id"]
    wait(lambda: served.client.get(f"/api/renders/{again}").json()["state"] == "done")
    assert served.trained() == before


def test_a_render_can_be_cancelled_and_goes_on_later(served):
    body = {"x": ["-1", "3"], "y": ["-1", "3"], "side": 1024}
    name = served.render(body).json()["id"]
    wait(lambda: served.client.get(f"/api/renders/{name}").json()["done"] > 0)
    answer = served.client.delete(f"/api/renders/{name}").json()
    assert answer["state"] == "cancelled" and answer["done"] < answer["total"]
    wait(lambda: served.explorer._queue.waiting == 0)
    kept = int(fj.open(answer["folder"]).done.sum())
    assert kept % 64**2 == 0
    assert served.client.get(f"/api/renders/{name}/image.png").status_code == 404


CHANGES = {"model.activation": "relu", "steps": 5, "window.y": "MOMENTUM", "axes.LR0.min": 0.1}


def test_other_settings_make_another_map(served):
    body = {"base": served.start["id"], "settings": CHANGES}
    other = served.client.post("/api/maps", json=body).json()
    assert other["id"] != served.start["id"]
    assert other["settings"]["model.activation"] == "relu" and other["settings"]["steps"] == 5
    assert other["axes"]["y"]["label"] == "MOMENTUM" and other["axes"]["x"]["low"] == -1
    assert other["settings"]["model.width"] == 4
    assert served.client.post("/api/maps", json=body).json()["id"] == other["id"]
    tile = served.client.get(f"/api/maps/{other['id']}/tiles/4/0/0")
    assert made(tile) == (256, 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model.widht": 8}, "Did you mean 'model.width'"),
        ({"model.activation": "rellu"}, "Did you mean 'relu'"),
        ({"model.width": "many"}, "takes int"),
        ({"model.width": [4, 8]}, "one value each"),
        ({"model.width": 10**8}, "too large to explore"),
        ({"model.depth": 100}, "too large to explore"),
        ({"model.depth": 10**18}, "at most 10000"),
        ({"steps": 10**9}, "too large to explore"),
        ({"problem.points": 10**9}, "too large to explore"),
        ({"problem.batch": 10**9}, "too large to explore"),
        ({"dtype": "float32"}, "computes in float64"),
        ({"window.y": None}, "two axes"),
        ({"window.y": "LR0"}, "both axes"),
        ({"window.x": "seed"}, "seed"),
        ({"problem": "tfds"}, "reads folders"),
        ({"problem.data_dir": "/etc"}, "cannot name files"),
        ({"plugins": "os"}, "cannot name files"),
        ({"model.width": {"a": 1}}, "takes a number"),
        ({"a b": 1}, "not a path"),
        ([1], "path: value"),
        ({"axes.LR0.min": 1e6}, "must be below"),
        ({"axes.LR0.max": 1e-3 * (1 + 1e-14)}, "differ in float64"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_one_line(served, settings, words):
    answer = served.client.post("/api/maps", json={"settings": settings})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"] and "\n" not in answer.json()["error"]


MAP = "/api/maps/{id}"
RENDER = f"{MAP}/renders"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"{MAP}/tiles/3/0/0", 404, "coarsest"),
        (f"{MAP}/tiles/6/1/0", 404, "1 a side"),
        (f"{MAP}/tiles/6/-1/0", 400, "whole number"),
        (f"{MAP}/tiles/6/0/1e3", 400, "whole number"),
        (f"{MAP}/tiles/6/0/{'9' * 30}", 400, "whole number"),
        (f"{MAP}/tiles/6/0/\N{ARABIC-INDIC DIGIT ONE}", 400, "whole number"),
        (f"{MAP}/tiles/999999999/0/0", 410, "precision floor"),
        (f"{MAP}/tiles/6/0/0?reading=loss", 400, "Known: diverged_at"),
        (f"{MAP}/point?x=1", 400, "x=...&y=..."),
        (f"{MAP}/point?x=1&y=nan", 400, "decimal number"),
        (f"{MAP}/point?x=1&y=7", 400, "outside the map"),
        (f"{MAP}/point?x=1&y=2&level=99", 410, "precision floor"),
        ("/api/maps/0123456789", 404, "no map"),
        ("/api/maps/..%2f..%2fetc", 404, "Not Found"),
        ("/api/maps/%2e%2e/tiles/6/0/0", 404, ""),
        ("/api/renders/r999", 404, "no render"),
        ("/api/renders/..%2f..", 404, "Not Found"),
        ("/static/..%2fserver.py", 404, "Not Found"),
        ("/static/%2e%2e/server.py", 404, "Not Found"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_requests_that_cannot_be_are_refused_in_one_line(served, path, status, words):
    answer = served.client.get(path.format(id=served.start["id"]))
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"x": ["0", "1"], "y": ["0", "1"], "side": 10**5}, "from 16 to 8192"),
        ({"x": ["0", "1"], "y": ["0", "1"], "side": True}, "from 16 to 8192"),
        ({"x": ["1", "0"], "y": ["0", "1"], "side": 64}, "below the high one"),
        ({"x": ["0", "99"], "y": ["0", "1"], "side": 64}, "outside the map"),
        ({"x": ["0", "1"], "y": [0, 1], "side": 64}, "decimal number"),
        ({"x": ["0", "1"], "side": 64}, "a render takes"),
        ({"x": ["0", "1e-15"], "y": ["0", "1"], "side": 512}, "samples differ"),
        (["x"], "a render takes"),
    ],
)
def test_renders_that_cannot_be_are_refused_in_one_line(served, body, words):
    answer = served.render(body)
    assert answer.status_code == 400 and words in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{}"}, 415),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"[" * 60_000, "headers": {"content-type": "application/json"}}, 400),
        ({"content": b" " * 70_000, "headers": {"content-type": "application/json"}}, 413),
        ({"json": {"settings": {}, "more": 1}}, 400),
        ({"json": {"base": "0123456789"}}, 404),
        ({"json": {"base": "../../etc"}}, 404),
    ],
)
def test_bodies_that_cannot_be_are_refused(served, sent, status):
    answer = served.client.post("/api/maps", **sent)
    assert answer.status_code == status and "error" in answer.json()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:80"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
    ],
    ids=str,
)
def test_pages_of_other_sites_are_turned_away(served, headers):
    answer = served.client.get("/api/status", headers=headers)
    assert answer.status_code == 403 and "error" in answer.json()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:80", "LOCALHOST:1"])
def test_this_machine_may_be_called_by_its_names(served, host):
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    answer = served.client.get("/api/status", headers=headers)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_link_from_elsewhere_opens_the_page(served):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert served.client.get("/", headers=headers).status_code != 403


def test_palettes_are_tables_of_256_colours(served):
    found = served.client.get("/api/palettes").json()
    assert "Spectral" in found
    assert all(len(base64.b64decode(text)) == 256 * 3 for text in found.values())


def test_values_beyond_float32_are_not_called_missing():
    found = np.array([[1e300, -1e300], [np.nan, -np.inf]])
    sent = np.frombuffer(server._bytes({"measure": found}, "measure"), "<f4")
    most = np.finfo("f4").max
    np.testing.assert_array_equal(sent, np.array([most, -most, np.nan, np.nan], "f4"))


def test_a_render_that_the_queue_refuses_is_not_waited_for(served, monkeypatch):
    body = {"x": ["0.25", "0.5"], "y": ["0", "1"], "side": 16}
    with monkeypatch.context() as full:
        full.setattr(served.explorer._queue, "_most", 0)
        assert served.render(body).status_code == 429
    name = served.render(body).json()["id"]
    wait(lambda: served.client.get(f"/api/renders/{name}").json()["state"] == "done")


def test_a_render_that_waits_can_be_cancelled(served, hold):
    body = {"x": ["0.25", "0.5"], "y": ["0", "2"], "side": 16}
    render = served.render(body).json()
    assert render["state"] == "waiting"
    path = f"/api/renders/{render['id']}"
    assert served.client.delete(path).json()["state"] == "cancelled"
    hold.set()
    wait(lambda: served.explorer._queue.waiting == 0)
    assert served.client.get(path).json()["state"] == "cancelled"


def test_the_page_is_asked_for_again_after_an_update(served):
    assert served.client.get("/static/app.js").headers["cache-control"] == "no-cache"


def test_tiles_and_maps_survive_a_restart(tmp_path):
    first = Served(tmp_path)
    tile = first.tile(4)
    other = first.client.post("/api/maps", json={"settings": CHANGES}).json()
    first.stop()
    second = Served(tmp_path)
    assert second.start["id"] == first.start["id"]
    again = second.tile(4)
    assert made(again) == (0, 0) and again.content == tile.content
    assert made(second.tile(5)) == (768, 256)
    assert second.client.get(f"/api/maps/{other['id']}").json()["settings"]["steps"] == 5
    second.stop()


def test_only_so_many_maps_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "MOST_OPEN", 2)
    monkeypatch.setattr(maps.Map, "compile", lambda self: self.compiled.set())
    monkeypatch.setattr(maps.Map, "compile_curve", lambda self: self.curve_compiled.set())
    used = set()
    all_maps = maps.Maps(tmp_path, used.__contains__, lambda: None)
    spec = explore.explored(SPEC)
    one, two, three = (
        opened(all_maps.add(spec.updated({"steps": n}), WINDOW, "")) for n in (3, 4, 5)
    )
    assert all_maps.get(two.id) is two and all_maps.get(three.id) is three
    again = opened(all_maps.get(one.id))  # from disk; the one that was not used for longest goes
    assert again is not one and again.spec == one.spec
    used |= {again.id, three.id}
    with pytest.raises(fj.FractaljaxError, match="try again"):
        all_maps.get(two.id)
    with pytest.raises(fj.FractaljaxError, match="closed"):
        two.usable()
    all_maps.close()


def opened(shown):
    wait(shown.curve_compiled.is_set)
    return shown


def test_what_cannot_be_a_map_is_refused_at_the_start(tmp_path):
    with pytest.raises(fj.FractaljaxError, match="two axes"):
        server.make_app(SPEC, fj.Window(WINDOW.x), folder=tmp_path)
    with pytest.raises(fj.FractaljaxError, match="computes in float64"):
        server.make_app(SPEC.updated({"dtype": "float32"}), WINDOW, folder=tmp_path)
    assert not any(tmp_path.iterdir())
