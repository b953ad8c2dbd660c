"""The explorer's page in a real browser, against the real server."""

import hashlib
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

import fractaljax as fj
from fractaljax.explorer import server
from fractaljax.view.colours import table
from fractaljax.view.stretch import STRETCHES, Scale, edges

PAGE = Path(server.__file__).parent / "page"
pytestmark = pytest.mark.needs("chromium")
SPEC = fj.Spec(
    model=fj.Part("mlp", width=4),
    problem=fj.Part("random_regression", inputs=4, points=8),
    steps=20,
    dtype="float64",
)
WINDOW = fj.Window(fj.Axis("optimizer.lr_in", 1e-3, 1e6), fj.Axis("optimizer.lr_out", 1e-3, 1e6))
WAIT_S = 60
IDLE = """explorer.tiles.waiting === 0 && explorer.picture.image.getFullyLoaded()
  && !explorer.picture.viewer.isAnimating() && !!explorer.picture.edges
  && !explorer.picture.rebalance"""
BLENDED_MS = 150  # longer than one balance of colours takes to become the next
VIEW = """(() => {
  const { x, y, z } = explorer.picture.view();
  return { x: String(x), y: String(y), z, depth: explorer.picture.root.depth };
})()"""
STATE = """[explorer.tiles.waiting, explorer.tiles.open,
  explorer.picture.image.getFullyLoaded(), explorer.picture.view().z]"""
SIDE = 2**192  # the page's fractions of the map, as integers


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    app = server.make_app(SPEC, WINDOW, title="test", folder=tmp_path_factory.mktemp("explore"))
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    options = {"sockets": [listener]}
    thread = threading.Thread(target=running.run, kwargs=options, daemon=True)
    thread.start()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=WAIT_S
    ) as client:
        yield client
    running.should_exit = True
    thread.join(WAIT_S)
    end = time.monotonic() + WAIT_S
    while not app.state.explorer.idle and time.monotonic() < end:
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        # tests often run as root in a container, where Chromium has no sandbox
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        launched = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield launched
        launched.close()


class Shown:
    """An open page, with all that it asked for and complained about."""

    def __init__(self, browser, served, **options):
        options = {"viewport": {"width": 760, "height": 460}, **options}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.served = served
        self.asked: list[str] = []
        self.failed: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, link="", coarse=True):
        self.page.goto(f"{self.served.base_url}/{link}")
        self.page.wait_for_selector("body.ready")
        if coarse:  # samples of 4 to 8 pixels: a tenth of the work
            self.page.locator("#detail").evaluate(
                "(field) => { field.value = '4'; field.dispatchEvent(new Event('change')); }"
            )
        return self

    def until(self, condition):
        """Waits without `eval` in the page, which its content security policy forbids."""
        end = time.monotonic() + WAIT_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, (condition, self.page.evaluate(STATE))
            self.page.wait_for_timeout(30)

    def settle(self):
        """Waits until the view stands still, all its tiles are there and colours are balanced."""
        before = None
        while (now := self.page.evaluate(VIEW)) != before:
            before = now
            self.page.wait_for_timeout(60)
        self.until(IDLE)
        self.page.wait_for_timeout(BLENDED_MS)
        self.until(IDLE)
        return self

    def go(self, hash):
        self.page.evaluate("(hash) => { location.hash = hash }", hash)
        self.page.wait_for_timeout(100)
        return self.settle()

    def tiles(self):
        """`(level, x, y)` of the tiles asked for."""
        found = (re.search(r"/tiles/(\d+)/(\d+)/(\d+)", url) for url in self.asked)
        return [tuple(map(int, match.groups())) for match in found if match]

    def sample(self, x, y):
        """The sample shown at a pixel: level, column and row of it in the whole map, value,
        middle of its square on the screen."""
        found = self.page.evaluate(
            """([x, y]) => {
              const found = explorer.picture.sample(explorer.picture.place({ x, y }));
              const half = 1n << BigInt(191 - found.level);
              const at = explorer.picture.pixel({ x: found.x + half, y: found.y + half });
              found.middle = [Math.floor(at.x), Math.floor(at.y)];
              return { ...found, x: String(found.x), y: String(found.y) };
            }""",
            [x, y],
        )
        level = found["level"]
        index = [int(found[k]) * 2**level // SIDE for k in "xy"]
        return level, *index, found["value"], found["middle"]

    def stored(self, level, column, row):
        """The same sample as the server has it."""
        side = min(64, 2**level)
        map_id = self.page.evaluate("explorer.picture.map.id")
        path = f"/api/maps/{map_id}/tiles/{level}/{column // side}/{row // side}"
        values = np.frombuffer(self.served.get(path).content, "<f4").reshape(side, side)
        return values[row % side, column % side]

    def pixel(self, x, y):
        """The colour on the screen."""
        return self.page.evaluate(
            """([x, y]) => {
              const { canvas } = explorer.picture.viewer.drawer;
              return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)];
            }""",
            [x, y],
        )

    def close(self):
        self.context.close()


@pytest.fixture
def shown(browser, served):
    page = Shown(browser, served)
    yield page
    page.close()
    assert page.errors == []
    hosts = {urlsplit(url).netloc for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert hosts <= {urlsplit(str(served.base_url)).netloc}


@pytest.mark.needs()
def test_vendored_code_is_the_code_on_record():
    record = (PAGE / "VENDORED.md").read_text()
    row = re.search(r"\| `(\S+)` \|.*?\| ([\d.]+) \|.*`([0-9a-f]{64})` \|", record)
    assert row
    name, version, checksum = row.groups()
    code = (PAGE / name).read_bytes()
    assert hashlib.sha256(code).hexdigest() == checksum
    assert f"openseadragon {version}".encode() in code[:100]
    assert "Redistribution and use" in (PAGE / "LICENSE.openseadragon.txt").read_text()


@pytest.mark.needs()
def test_nothing_of_the_page_names_another_host():
    own = [file for file in PAGE.iterdir() if file.suffix in (".html", ".css", ".js", ".svg")]
    assert len(own) > 10
    for file in own:
        if file.name != "openseadragon.min.js":
            named = set(re.findall(r"(?:https?:)?//[\w-]+\.[\w./-]+", file.read_text()))
            assert named <= {"http://www.w3.org/2000/svg"}, file.name


@pytest.mark.parametrize("stretch", STRETCHES)
def test_colours_are_those_of_python(shown, stretch):
    shown.open()
    draw = np.random.default_rng(0)
    signed = np.concatenate([-np.exp(draw.normal(size=300) * 5), np.exp(draw.normal(size=500) * 3)])
    lookups = [*signed[:200], 0.0, -0.0, 1e30, -1e30]
    for values, sign in ((signed, True), (np.abs(signed), False), (-np.abs(signed), True)):
        values = draw.permutation(values).astype(np.float32)
        found = shown.page.evaluate(
            """async ([values, stretch, signed, lookups]) => {
              const colour = await import('/static/colour.js');
              const edges = colour.edges(Float64Array.from(values), stretch, signed, 0.25);
              const table = new Uint8Array(768).map((_, i) => Math.floor(i / 3));
              const scale = new colour.Scale(edges, table, '#960000');
              const n = Math.ceil(Math.sqrt(lookups.length + 1));
              const tile = new Float32Array(n * n).fill(NaN);
              tile.set(lookups);
              const canvas = Object.assign(document.createElement('canvas'), {width: n, height: n});
              const context = canvas.getContext('2d');
              scale.paint(tile, context);
              return [[...edges], [...context.getImageData(0, 0, n, n).data], n];
            }""",
            [values.tolist(), stretch, sign, [float(np.float32(v)) for v in lookups]],
        )
        expected = edges(values.astype(np.float64), stretch, signed=sign)
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)
        side = found[2]
        painted = np.array(found[1]).reshape(side, side, 4)[::-1, :, 0].ravel()
        grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        ours = Scale(np.array(found[0]), grey).colours(
            np.array(lookups, np.float32), np.ones(len(lookups), bool)
        )
        assert painted[: len(lookups)].tolist() == ours[:, 0].tolist()
        assert painted[len(lookups)] == 0x96  # NaN


def test_loads_coarse_first_and_shows_what_the_server_has(shown):
    shown.open().settle()
    levels = [level for level, _, _ in shown.tiles()]
    assert levels[0] == 4 and max(levels) > 5
    colouring = Scale(
        np.array(shown.page.evaluate("[...explorer.picture.edges]")), table("Spectral")[::-1]
    )
    for x, y in ((250, 60), (300, 330), (380, 213), (470, 390)):
        level, column, row, value, middle = shown.sample(x, y)
        assert value == shown.stored(level, column, row)
        expected = colouring.colours(np.array([value]), np.array([True]))[0]
        assert shown.pixel(*middle) == expected.tolist()
    # y points up: a large rate of the last layer, at the top, diverges
    assert shown.sample(260, 60)[3] > 0 > shown.sample(260, 380)[3]


def test_five_levels_deeper_keep_the_middle(shown):
    shown.open().settle()
    shown.go("x=1.2&y=1.1&z=0")
    before = shown.page.evaluate(VIEW)
    for _ in range(5):
        shown.page.keyboard.press("+")
        shown.page.wait_for_timeout(60)
    shown.settle()
    after = shown.page.evaluate(VIEW)
    assert after["z"] == pytest.approx(before["z"] + 5, abs=1e-6)
    assert (after["x"], after["y"]) == (before["x"], before["y"])
    level, column, row, value, _ = shown.sample(300, 200)
    assert level >= 10 and value == shown.stored(level, column, row)
    again = len(shown.tiles()) - len(set(shown.tiles()))
    assert again <= len(shown.failed)  # twice only what was dropped
    shown.page.keyboard.press("0")
    shown.settle()
    assert shown.page.evaluate(VIEW)["z"] == pytest.approx(0, abs=1e-6)


def test_click_trains_the_pixel_and_escape_closes(shown):
    shown.open().settle()
    value = shown.sample(320, 120)[3]
    shown.page.mouse.click(320, 120)
    card = shown.page.locator("#inspector")
    expect(card.locator(".curve .loss")).to_have_attribute("d", re.compile("^M.+L"), timeout=30_000)
    facts = card.locator("dd").all_inner_texts()
    assert float(facts[3]) == pytest.approx(value, rel=1e-4)
    assert facts[2] in ("converged", "bounded", "oscillating", "diverged", "not finite")
    ends = re.search(r"scan (\S+map\.yaml) --window (\S+) (\S+) (\S+) (\S+) ", card.inner_text())
    assert ends
    low, high = float(ends[2]), float(ends[3])
    assert 10 ** ((low + high) / 2) == pytest.approx(float(facts[0]), rel=1e-9)
    assert "p=" in shown.page.url or shown.page.wait_for_url("**p=*") is None
    shown.page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_palette_stretch_and_gap_change_without_the_server(shown):
    shown.open().settle()
    shown.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    seen = [shown.pixel(300, 330)]
    shown.asked.clear()
    shown.page.check("input[value=viridis]", force=True)
    shown.page.wait_for_timeout(150)
    seen.append(shown.pixel(300, 330))
    shown.page.select_option("#stretch", "linear")
    shown.page.wait_for_timeout(150)
    seen.append(shown.pixel(300, 330))
    shown.page.select_option("#stretch", "rank")
    shown.page.locator("#gap").fill("0.5")
    shown.page.wait_for_timeout(150)
    seen.append(shown.pixel(300, 330))
    assert len({tuple(colour) for colour in seen}) == 4
    assert [url for url in shown.asked if "/api/status" not in url] == []
    shown.page.wait_for_timeout(300)
    query = parse_qs(urlsplit(shown.page.url).fragment)
    assert (query["c"], query["t"], query["g"]) == (["viridis"], ["rank"], ["0.5"])


@pytest.mark.slow
def test_locked_colours_stay_while_moving(shown):
    shown.open().settle()
    shown.page.check("#locked")
    before = shown.page.evaluate("[...explorer.picture.edges]")
    shown.go("x=1&y=1.1&z=4")
    assert shown.page.evaluate("[...explorer.picture.edges]") == before
    shown.page.uncheck("#locked")
    shown.page.wait_for_timeout(100)
    assert shown.page.evaluate("[...explorer.picture.edges]") != before


def test_a_shared_link_gives_the_same_view(browser, served, shown):
    shown.open("#x=1.23456789&y=1.0987654321&z=7.25&c=berlin&g=0.1").settle()
    shown.page.mouse.click(300, 200)
    shown.page.wait_for_selector("#inspected .curve")
    shown.page.wait_for_timeout(400)
    facts = shown.page.locator("#inspected dd").all_inner_texts()
    view = shown.page.evaluate(VIEW)
    other = Shown(browser, served)
    other.open(f"#{urlsplit(shown.page.url).fragment}").settle()
    other.page.wait_for_selector("#inspected .curve")
    assert other.page.locator("#detail").input_value() == "4"
    again = other.page.evaluate(VIEW)
    pixels = 2**192 / 460 / 2**7.25
    assert all(abs(int(view[k]) - int(again[k])) < 0.1 * pixels for k in "xy")
    assert again["z"] == pytest.approx(view["z"], abs=1e-4)
    assert other.page.locator("#inspected dd").all_inner_texts() == facts
    assert other.page.locator("#palettes input:checked").get_attribute("value") == "berlin"
    assert other.errors == []
    other.close()


def test_a_spoiled_link_costs_only_what_is_spoiled(shown):
    shown.open("#m=..%2Fstatus&p=6,1.2.3,4&c=constructor&d=1e-9&g=9&z=2").settle()
    assert shown.page.evaluate(VIEW)["z"] == pytest.approx(2, abs=1e-4)
    assert shown.page.locator("#palettes input:checked").get_attribute("value") == "Spectral"
    assert shown.page.locator("#inspector").is_hidden()
    shown.errors[:] = [text for text in shown.errors if "404" not in text]


def test_a_box_without_a_pointer(shown):
    page = shown.open().settle().page
    page.focus("#map")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator("#render")).to_be_visible()
    low, high = map(float, page.locator("#render-x").inner_text().split()[1::2])
    assert (low + high) / 2 == pytest.approx(1.5, abs=0.05) and 2 < high - low < 9
    page.keyboard.press("Escape")
    expect(page.locator("#render")).to_be_hidden()
    expect(page.locator("body")).not_to_have_class(re.compile("selecting"))


@pytest.mark.slow
def test_a_link_from_another_machine_makes_its_map_again(shown):
    shown.open("#m=ffffffffff&s.model.activation=relu&s.steps=7&z=1").settle()
    settings = shown.page.evaluate("explorer.picture.map.settings")
    assert (settings["model.activation"], settings["steps"]) == ("relu", 7)
    missing = [text for text in shown.errors if "404" in text]  # the browser tells of it
    assert shown.errors == missing
    shown.errors.clear()


@pytest.mark.slow
def test_deep_views_are_exact_and_tell_the_floor(shown):
    shown.open("#x=1.0800000000001&y=1.1&z=12").settle()
    for z in (30, 44):
        shown.go(f"x=1.0800000000001&y=1.1&z={z}")
        view = shown.page.evaluate(VIEW)
        assert view["depth"] > z - 20 and view["z"] == pytest.approx(z, abs=1e-4)
        expected = (4 + 0.0800000000001) / 9  # of the map from 10^-3 to 10^6
        assert int(view["x"]) / SIDE == pytest.approx(expected, rel=1e-15)
        level, column, row, value, _ = shown.sample(300, 200)
        assert level > z + 4 and column > 2**z / 4
        assert value == shown.stored(level, column, row)
    assert max(max(x, y) for _, x, y in shown.tiles()) > 2**40
    assert "above the precision floor" in shown.page.inner_text("#floor")
    # the same place again after a way out and in, through other roots
    before = shown.page.evaluate(VIEW)
    for key in "-" * 30 + "+" * 30:
        shown.page.keyboard.press(key)
        shown.page.wait_for_timeout(25)
    shown.settle()
    after = shown.page.evaluate(VIEW)
    assert abs(int(after["x"]) - int(before["x"])) < SIDE // 2**44 // 400  # a pixel
    shown.go("x=1.0800000000001&y=1.1&z=80")  # deeper than there is anything to see
    assert shown.page.evaluate(VIEW)["z"] == pytest.approx(53, abs=1e-4)
    assert "the same float64 number" in shown.page.inner_text("#floor")
    assert all(level <= 56 for level, _, _ in shown.tiles())


@pytest.mark.slow
def test_work_that_leaves_the_window_is_dropped(shown):
    shown.open("#x=-2&y=-2&z=3").settle()
    held = []
    shown.failed.clear()
    shown.page.route("**/tiles/**", lambda route: held.append(route))  # no answer
    shown.page.evaluate("location.hash = 'x=3&y=3&z=9'")
    shown.until("explorer.tiles.open > 0")
    shown.page.wait_for_timeout(100)
    shown.go("x=-2&y=-2&z=3")  # all of it is at hand
    assert held and {route.request.url for route in held} <= set(shown.failed)
    assert shown.page.evaluate("explorer.tiles.open") == 0


@pytest.mark.slow
def test_a_full_queue_is_asked_again_later(shown):
    refused = []

    def refuse(route):
        refused.append(route.request.url)
        route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "queue full"})

    shown.page.route("**/tiles/**", refuse, times=2)
    shown.open().settle()
    assert refused and shown.tiles().count((4, 0, 0)) > 1
    assert shown.page.evaluate("explorer.picture.sample(explorer.picture.view()) !== null")
    shown.errors[:] = [text for text in shown.errors if "429" not in text]


@pytest.mark.slow
def test_a_lost_server_is_told_and_found_again(shown):
    shown.open().settle()
    banner = shown.page.locator("#banner")
    expect(banner).to_be_hidden()
    shown.context.set_offline(True)
    shown.page.evaluate("location.hash = 'x=4&y=-1.3&z=6'")
    expect(banner).to_contain_text("does not answer", timeout=10_000)
    shown.context.set_offline(False)
    expect(banner).to_be_hidden(timeout=30_000)
    shown.settle()
    assert shown.sample(380, 200)[0] > 8
    shown.errors[:] = [text for text in shown.errors if "ERR_INTERNET_DISCONNECTED" not in text]


@pytest.mark.slow
def test_a_box_becomes_a_picture(shown):
    shown.open().settle()
    page = shown.page
    page.click("#panel-toggle")
    page.click("#select")
    page.mouse.move(300, 150)
    page.mouse.down()
    page.mouse.move(350, 190, steps=4)
    page.mouse.move(400, 250, steps=4)
    page.mouse.up()
    expect(page.locator("#render")).to_be_visible()
    page.check("input[name=side][value='256']", force=True)
    view = page.evaluate(VIEW)
    page.click("#render button.main")
    assert page.evaluate(VIEW) == view  # the drag drew a box and did not move the map
    link = page.locator("#renders a")
    expect(link).to_have_text("open the picture", timeout=60_000)
    answer = shown.served.get(link.get_attribute("href"))
    assert answer.content.startswith(b"\x89PNG")


@pytest.mark.slow
def test_settings_make_a_new_map_and_back_returns(shown):
    shown.open().settle()
    page = shown.page
    page.click("summary:has-text('Training')")
    page.fill("#other", "model.nonsense=3")
    page.click("#apply")
    expect(page.locator("#settings-error")).to_contain_text("nonsense")
    page.fill("#other", "")
    page.select_option("[name='model.activation']", label="relu")
    page.fill("[name=steps]", "9")
    page.click("#apply")
    expect(page.locator("#title")).to_contain_text("relu")
    shown.settle()
    assert page.evaluate("explorer.picture.map.settings.steps") == 9
    page.go_back()
    expect(page.locator("#title")).to_have_text("test")
    shown.settle()
    shown.errors[:] = [text for text in shown.errors if "400" not in text]


@pytest.mark.slow
def test_bookmarks_return_to_their_view(shown):
    shown.open("#x=1.5&y=1&z=3").settle()
    page = shown.page
    page.click("summary:has-text('Bookmarks')")
    page.click("#bookmark")
    shown.go("x=0&y=0&z=5")
    page.click("#bookmarks a")
    page.wait_for_timeout(100)
    shown.settle()
    assert page.evaluate(VIEW)["z"] == pytest.approx(3, abs=1e-4)
    page.go_back()
    page.wait_for_timeout(100)
    shown.settle()
    assert page.evaluate(VIEW)["z"] == pytest.approx(5, abs=1e-4)


def test_phone_dark_and_touch(browser, served):
    shown = Shown(
        browser,
        served,
        viewport={"width": 375, "height": 700},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    page = shown.open().settle().page
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.touchscreen.tap(200, 300)
    page.wait_for_selector("#inspected .curve")
    shown.settle()
    card, mark = (page.locator(name).bounding_box() for name in ("#inspector", "#marker"))
    assert card["width"] == 375 and mark["y"] + mark["height"] <= card["y"]
    page.tap("#panel-toggle")
    expect(page.locator("#palettes")).to_be_visible()
    for button in page.locator("nav button").all():
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375 and box["height"] >= 40
    page.tap("#theme")
    assert page.evaluate(background) != dark
    assert shown.errors == []
    shown.close()
