import argparse
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fractaljax as fj
from fractaljax.axis import Lattice
from fractaljax.cli.video import add_video, video
from fractaljax.errors import FractaljaxError
from fractaljax.families import zoom as family
from fractaljax.field import Field
from fractaljax.levels import Zoom
from fractaljax.spec import Spec
from fractaljax.view import picture
from fractaljax.view.encode import CODECS, ffmpeg
from fractaljax.view.frames import Pair, View, between
from fractaljax.view.overlay import Overlay, marks
from fractaljax.view.stretch import Scale
from fractaljax.view.ticks import MINUS, TIMES
from fractaljax.view.video import dimensions, save_video, schedule
from fractaljax.window import Window

CONFIG = Path(fj.__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
CENTER = ("0.31", "-0.72")


def waves(x, y):
    """Both signs, detail at every depth: waves in the logarithm of the distance."""
    radius = np.hypot(x, y) + 1e-12
    return np.sin(9 * np.log2(radius) + 3 * np.arctan2(y, x)) * (1 + radius)


def make_zoom(path, values=waves, *, levels=3, n=65, factor=2.0):
    """Levels of `values(x, y)`, by distances from the centre; level 0 is 2 wide."""
    found = []
    for k in range(levels):
        width = 2.0 * factor**-k
        at = (np.arange(n) - n // 2) * width / n
        axes = [
            Lattice.around(name, Decimal(middle), width, n, "linear")
            for name, middle in zip(("optimizer.lr_in", "optimizer.lr_out"), CENTER, strict=True)
        ]
        array = np.asarray(values(at[None, :], at[:, None]), float)
        window = Window(*axes)
        found.append(Field(Spec(), window, {"measure": array}, np.ones(window.shape, bool), {}))
    return Zoom(tuple(found), factor, Path(path), {"center": list(CENTER)})


def make_pair(zoom, level, size, shares):
    fields = (zoom[level], zoom[level + 1])
    ny, nx = fields[0].window.grid
    scales = tuple(picture.scale(field) for field in fields)
    with ThreadPoolExecutor(2) as pool:
        return Pair(fields, scales, "measure", View(nx, ny, *size, zoom.factor), shares, pool)


def decoded(path, size):
    """Frames of a video, uint8 `[n, height, width, 3]`."""
    command = [ffmpeg(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo"]
    out = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(out.stdout, np.uint8).reshape(-1, size[1], size[0], 3)


def far(a, b):
    """Mean distance of two pictures, in steps of a colour."""
    return float(np.mean(np.abs(np.asarray(a, float) - np.asarray(b, float))))


@pytest.mark.parametrize("n", [128, 129])
@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_zoom_is_exponential_to_a_part_of_a_pixel(tmp_path, n, factor):
    """A disc, off the centre, has the area and the place that the depth says."""
    x0, y0, radius = 0.04, -0.03, 0.05

    def disc(x, y):
        return np.where(np.hypot(x - x0, y - y0) < radius, -1.0, 1.0)

    zoom = make_zoom(tmp_path, disc, n=n, factor=factor)
    two = picture.scale(zoom[0]).colours(np.array([1.0, -1.0]), np.ones(2, bool)).astype(float)
    shares = [0.0, 0.2, 0.45, 0.7, 0.95, 1.0]
    ys, xs = np.mgrid[44.5:-45:-1, -79.5:80:1]  # pixels from the middle of the frame
    for level in (0, 1):
        pair = make_pair(zoom, level, (160, 90), shares)
        for share in shares:
            frame = np.asarray(pair.frame(share)).astype(float)
            cover = (frame - two[0]) @ (two[1] - two[0]) / np.sum((two[1] - two[0]) ** 2)
            pixel = ((n - 1) // 2 + 0.5) / 80 * 2 / n * factor ** -(level + share)
            place = (cover * xs).sum() / cover.sum(), (cover * ys).sum() / cover.sum()
            expected = x0 / pixel, y0 / pixel, radius / pixel
            if max(abs(expected[0]) - 80, abs(expected[1]) - 45) + expected[2] < 0:
                np.testing.assert_allclose(place, expected[:2], atol=0.3)
                assert abs(np.sqrt(cover.sum() / np.pi) - expected[2]) < 0.3
            else:
                assert level == 1  # it has left the frame


def test_frame_at_a_keyframe_is_its_picture_made_smaller(tmp_path):
    zoom = make_zoom(tmp_path, lambda x, y: np.sin(5 * x) * np.cos(7 * y) + 2, n=256)
    field = zoom[1]
    colours = picture.scale(field).colours(field["measure"], field.done)[::-1]
    middle = colours[:-1, 1:].astype(float)  # 255 a side around the middle sample
    expected = middle.reshape(51, 5, 51, 5, 3).mean((1, 3))
    for level, share in ((0, 1.0), (1, 0.0)):
        frame = make_pair(zoom, level, (51, 51), [0.0, 1.0]).frame(share)
        assert far(frame, expected) < 1.5


def test_no_jump_where_keyframes_change(tmp_path):
    """The same frame from both sides, and steps all alike on the way."""
    zoom = make_zoom(tmp_path, n=193)
    shares = [i / 15 for i in range(16)]
    first, second = (make_pair(zoom, k, (96, 96), shares) for k in (0, 1))
    assert np.array_equal(first.frame(1.0), second.frame(0.0))
    frames = [first.frame(s) for s in shares] + [second.frame(s) for s in shares[1:]]
    steps = [far(a, b) for a, b in itertools.pairwise(frames)]
    assert 1 < max(steps) < 2 * min(steps)


def test_border_of_the_inner_keyframe_is_no_seam(tmp_path):
    """Levels of different values all over: their colours blend within some pixels, not at once."""
    zoom = make_zoom(tmp_path, lambda x, y: 0 * (x + y), n=256)
    zoom[0].arrays["measure"][:] = np.linspace(-2, -1, 256)[:, None]  # type: ignore[index]
    zoom[1].arrays["measure"][:] = np.linspace(1, 2, 256)[:, None]  # type: ignore[index]
    frame = np.asarray(make_pair(zoom, 0, (128, 128), [0.5]).frame(0.5)).astype(int)
    row = frame[64, :64]
    assert far(row[0], row[-1]) > 60
    assert np.abs(np.diff(row, axis=0)).max() < 20


def test_colours_are_averaged_and_not_values(tmp_path):
    """A board of 1 and -1 is the mean of two colours, though its values have the mean 0."""

    def board(x, y):
        side = np.arange(x.shape[1])
        return np.where((side + side[:, None]) % 2, -1.0, 1.0)

    zoom = make_zoom(tmp_path, board, n=256)
    colouring = picture.scale(zoom[0])
    two = colouring.colours(np.array([-1.0, 1.0]), np.ones(2, bool)).astype(float)
    frame = np.asarray(make_pair(zoom, 0, (32, 32), [0.0]).frame(0.0))
    assert far(frame, np.broadcast_to(two.mean(0), frame.shape)) < 6


def test_colour_reference_is_cross_faded(tmp_path):
    """Level 1 has other values: half way, edges lie half way, and frames use them exactly."""
    zoom = make_zoom(tmp_path, lambda x, y: 1 + np.abs(x) + 0 * y, n=64)
    zoom[1].arrays["measure"][:] *= 3  # type: ignore[index]
    one, two = (picture.scale(field) for field in zoom.levels[:2])
    half = between(one, two, 0.5)
    np.testing.assert_allclose(half.edges, (one.edges + two.edges) / 2)
    values = zoom[0]["measure"][::-1]
    expected = half.colours(values, np.ones(values.shape, bool))
    frame = np.asarray(make_pair(zoom, 0, (63, 63), [0.0, 0.5, 1.0]).frame(0.5))
    assert far(frame[0, ::8], expected[32, 12:50:5]) < 25  # the outermost row shows level 0
    assert np.array_equal(between(one, two, 1.0).edges, two.edges)


def test_a_side_without_values_takes_the_edges_of_the_other_level():
    table = np.zeros((256, 3), np.uint8)
    empty = Scale(np.full(255, np.finfo(np.float64).max), table)
    full = Scale(np.arange(255.0), table)
    for share in (0.0, 0.01, 0.99, 1.0):
        assert np.array_equal(between(empty, full, share).edges, full.edges)
        assert np.array_equal(between(full, empty, share).edges, full.edges)


@pytest.mark.parametrize("reading", ["status", "measure"])
def test_other_readings_and_gaps_in_them(tmp_path, reading):
    zoom = make_zoom(tmp_path, lambda x, y: np.round(2 + 2 * np.sin(20 * x + 20 * y)), n=64)
    levels = []
    for field in zoom.levels:
        values = field["measure"].copy()
        if reading == "measure":
            values[:8] = np.nan
        levels.append(Field(field.spec, field.window, {reading: values}, field.done, {}))
    zoom = Zoom(tuple(levels), 2.0, tmp_path, {})
    look = {"codec": "ffv1", "size": 64, "fps": 2}
    save_video(zoom, tmp_path / "a.mkv", **look)
    last = decoded(tmp_path / "a.mkv", (64, 64))[-1]
    grey = np.all(last[-4:] == 150, axis=-1)
    assert grey.all() == (reading == "measure")


@pytest.mark.parametrize("levels", [2, 3, 6])
@pytest.mark.parametrize("fps", [30, 23.976, 1])
def test_schedule_is_even_and_complete(levels, fps):
    parts = schedule(levels, fps, 1.3)
    depths = np.array([k + s for k, part in enumerate(parts) for s in part])
    assert depths[0] == 0 and depths[-1] == levels - 1
    assert all(0 <= s < 1 for part in parts[:-1] for s in part)
    still = round(fps)
    moving = np.diff(depths[still : len(depths) - still])
    np.testing.assert_allclose(moving, moving[0])
    assert len(moving) == max(round((levels - 1) * fps * 1.3), 1)
    assert np.all(depths[: still + 1] == 0) and np.all(depths[-still - 1 :] == levels - 1)


def test_sizes():
    assert dimensions("1080p") == (1920, 1080)
    assert dimensions("4K") == (3840, 2160)
    assert dimensions(512) == dimensions("512") == (512, 512)
    assert dimensions("640x360") == dimensions((640, 360)) == (640, 360)
    with pytest.raises(FractaljaxError, match="Did you mean '1080p'"):
        dimensions("1080")[0] and dimensions("1081p")
    with pytest.raises(FractaljaxError, match="unknown size '9999"):
        dimensions("9" * 5000)


@pytest.mark.parametrize("codec", ["x264", "x265", "av1", "ffv1"])
def test_decoded_frames_are_the_frames(tmp_path, codec):
    zoom, size = make_zoom(tmp_path, lambda x, y: 2 + np.sin(3 * x) * np.cos(2 * y)), (96, 64)
    path = tmp_path / f"a{CODECS[codec].suffixes[0]}"
    seen = []
    save_video(zoom, path, fps=6, seconds_per_level=1, size=size, codec=codec, on_frame=seen.append)
    parts = schedule(3, 6, 1)
    total = sum(map(len, parts))
    assert total == 6 + 12 + 1 + 6
    assert [(p.frames, p.left, p.total) for p in seen] == [
        (i, total - i, total) for i in range(1, total + 1)
    ]
    frames = decoded(path, size)
    made = [make_pair(zoom, k, size, part) for k, part in enumerate(parts)]
    expected = [made[k].frame(s) for k, part in enumerate(parts) for s in part]
    assert len(frames) == total
    error = [far(a, b) for a, b in zip(frames, expected, strict=True)]
    assert max(error) == 0 if codec == "ffv1" else max(error) < 4
    assert sorted(os.listdir(tmp_path)) == [path.name]


def test_file_says_how_it_was_made(tmp_path):
    save_video(make_zoom(tmp_path), tmp_path / "a.mp4", size=32, fps=2, cmap="viridis")
    told = subprocess.run(
        [ffmpeg(), "-loglevel", "error", "-i", tmp_path / "a.mp4", "-f", "ffmetadata", "-"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    comment = next(line for line in told.replace("\\\n", "\n").splitlines() if "comment" in line)
    notes = json.loads(comment.partition("=")[2].replace("\\\\", "\\").replace("\\=", "="))
    assert notes["plan"] == {"center": list(CENTER)}
    assert notes["look"]["cmap"] == "viridis" and notes["look"]["size"] == [32, 32]
    assert notes["levels"] == 3 and "optimizer.lr_in" in notes["settings"]
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can begin at once


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_open_with_all_frames_in_time(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    zoom = make_zoom(tmp_path)
    save_video(zoom, path, fps=10, seconds_per_level=0.8, size=(80, 45))
    moving = 16 + 1
    with Image.open(path) as image:
        assert image.size == (80, 45)
        lengths, last = [], None
        for k in range(image.n_frames):
            image.seek(k)
            last = np.asarray(image.convert("RGB"))
            lengths.append(image.info["duration"])
        assert image.info["loop"] == 0
    assert len(lengths) in (moving, moving + 20)  # what stands still may be one long frame
    assert sum(lengths) == 100 * (moving + 20)
    expected = make_pair(zoom, 1, (80, 45), [1.0]).frame(1.0)
    assert far(last, expected) < 16
    assert sorted(os.listdir(tmp_path)) == [path.name]


def interrupted(zoom, path, after, **look):
    """A run that is stopped after some frames."""

    def stop(progress):
        if progress.frames == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_video(zoom, path, on_frame=stop, **look)


def test_segments_without_loss_go_where_every_ffmpeg_puts_them(tmp_path):
    """ffmpeg 5.1.9: "Could not find tag for codec ffv1" in MP4."""
    look = {"fps": 10, "seconds_per_level": 1, "size": (64, 36)}
    interrupted(make_zoom(tmp_path, levels=3), tmp_path / "a.mkv", 25, **look, codec="ffv1")
    (work,) = tmp_path.iterdir()
    assert os.listdir(work) == ["segment_0000.mov"]


def test_a_stopped_run_goes_on_at_the_segment_it_was_in(tmp_path):
    zoom = make_zoom(tmp_path, levels=5)
    look = {"fps": 10, "seconds_per_level": 1, "size": (64, 36), "labels": True}
    interrupted(zoom, tmp_path / "a.mp4", 35, **look)
    (work,) = tmp_path.iterdir()
    assert [f.name for f in sorted(work.iterdir())] == ["segment_0000.mp4", "segment_0001.mp4"]
    (work / "segment_0002.dead.part.mp4").write_bytes(b"left by a run that was killed")
    seen = []
    save_video(zoom, tmp_path / "a.mp4", on_frame=seen.append, **look)
    assert len(seen) == 10 + 10 + 1 + 10
    save_video(zoom, tmp_path / "b.mp4", **look)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]
    a, b = (decoded(tmp_path / name, (64, 36)) for name in ("a.mp4", "b.mp4"))
    assert len(a) == 61 and np.array_equal(a, b)


def test_segments_of_another_look_or_other_values_are_not_taken(tmp_path):
    zoom = make_zoom(tmp_path)
    look = {"fps": 4, "seconds_per_level": 1, "size": 32}
    interrupted(zoom, tmp_path / "a.mp4", 10, **look)
    total = 4 + 8 + 1 + 4
    for other, changed in (
        (zoom, {"cmap": "viridis"}),
        (zoom, {"fps": 5}),
        (make_zoom(tmp_path, lambda x, y: 1 + waves(x, y)), {}),
    ):
        seen = []
        save_video(other, tmp_path / "a.mp4", on_frame=seen.append, **{**look, **changed})
        assert len(seen) == seen[0].total >= total


def test_segments_of_a_palette_file_that_changed_are_not_taken(tmp_path):
    zoom, palette = make_zoom(tmp_path), tmp_path / "mine.hex"
    palette.write_text("000000 ffffff")
    look = {"fps": 4, "seconds_per_level": 1, "size": 32, "cmap": str(palette)}
    interrupted(zoom, tmp_path / "a.mp4", 10, **look)
    palette.write_text("000000 ff0000")
    seen = []
    save_video(zoom, tmp_path / "a.mp4", on_frame=seen.append, **look)
    assert len(seen) == seen[0].total


def test_one_process_a_video(tmp_path):
    zoom = make_zoom(tmp_path)

    def again(progress):
        with pytest.raises(FractaljaxError, match="another process is making this video"):
            save_video(zoom, tmp_path / "a.mp4", size=32, fps=2)

    save_video(zoom, tmp_path / "a.mp4", size=32, fps=2, on_frame=again)
    assert os.listdir(tmp_path) == ["a.mp4"]


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_video import make_zoom
from fractaljax.view.video import save_video

def die(progress):
    if progress.frames == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

save_video(make_zoom({path!r}, levels=6), {path!r} + "/a.mp4", fps=10, seconds_per_level=1,
           size=(64, 36), on_frame=die)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    """kill -9, again and again: no finished segment is made twice, and the video is the same."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), path=str(tmp_path))
    command = [sys.executable, "-c", script]
    for frames, segments in ((30, 1), (15, 2), (1, 2)):
        assert subprocess.run([*command, str(frames)]).returncode == -signal.SIGKILL
        (work,) = tmp_path.iterdir()
        assert len(list(work.glob("segment_????.mp4"))) == segments
    subprocess.run([*command, "0"], check=True)
    look = {"fps": 10, "seconds_per_level": 1, "size": (64, 36)}
    save_video(make_zoom(tmp_path, levels=6), tmp_path / "b.mp4", **look)
    a, b = (decoded(tmp_path / name, (64, 36)) for name in ("a.mp4", "b.mp4"))
    assert len(a) == 10 + 50 + 1 + 10 and np.array_equal(a, b)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("name", "look", "message"),
    [
        ("a.avi", {}, "unknown kind of video"),
        ("a.mp4", {"codec": "h264"}, "unknown codec 'h264'. Did you mean 'x264'"),
        ("a.gif", {"codec": "x264"}, "x264 goes into a file named .mp4"),
        ("a.mp4", {"size": 33}, "x264 takes even sides only, such as 34x34"),
        ("a.mp4", {"size": 8}, "16 to 16384"),
        ("a.webp", {"size": "20000x16"}, "16 to 16383"),
        ("a.mp4", {"fps": 0}, "fps=0"),
        ("a.gif", {"fps": 60}, "gif takes more than 0, up to 50"),
        ("a.mp4", {"seconds_per_level": -1}, "seconds_per_level=-1"),
        ("a.mp4", {"seconds_per_level": 1e9}, "more than 1,000,000 frames"),
        ("a.mp4", {"cmap": "Spectrall"}, "Did you mean 'Spectral'"),
        ("a.mp4", {"stretch": "ranks"}, "Did you mean 'rank'"),
        ("a.mp4", {"reading": "measur"}, "Did you mean 'measure'"),
        ("no/a.mp4", {}, "no/a.mp4 cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(tmp_path, name, look, message):
    with pytest.raises(FractaljaxError) as error:
        save_video(make_zoom(tmp_path), tmp_path / name, **{"size": 32, "fps": 2, **look})
    assert message in str(error.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_replaced_and_told_at_once(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    frames = []
    with pytest.raises(FractaljaxError, match="it is a folder"):
        save_video(make_zoom(tmp_path), tmp_path / "a.mp4", size=32, fps=2, on_frame=frames.append)
    assert frames == [] and os.listdir(tmp_path) == ["a.mp4"]


def test_zooms_that_are_not_whole_are_refused(tmp_path):
    zoom = make_zoom(tmp_path)
    hole = Field(zoom[1].spec, zoom[1].window, zoom[1].arrays, zoom[1].done.copy(), {})
    hole.done[3, 4] = False
    for levels, message in (
        (zoom.levels[:1], "1 complete level; a video needs at least 2"),
        ((zoom[0], hole), "level 1 is not trained whole"),
        ((zoom[0], make_zoom(tmp_path, n=33)[1]), "level 1 has another resolution"),
    ):
        with pytest.raises(FractaljaxError, match=message):
            save_video(Zoom(levels, 2.0, tmp_path, {}), tmp_path / "a.mp4", size=32)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_failure_of_the_encoder_is_its_first_line(tmp_path, monkeypatch):
    """The cause of the others. At once or after all frames; nothing is left behind."""
    out = tmp_path / "out"
    out.mkdir()
    failed = "echo 'disk full' >&2; echo 'nothing was written' >&2; exit 1"
    for text in (failed, f"cat > /dev/null; {failed}"):
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program(tmp_path / "fake", text))
        with pytest.raises(FractaljaxError, match=r"segment_0000.mp4: ffmpeg failed: disk full"):
            save_video(make_zoom(tmp_path), out / "a.mp4", size=256)
        assert os.listdir(out) == []


def test_ffmpeg_is_looked_for_in_order(tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setenv("PATH", "")
    assert "imageio_ffmpeg" in ffmpeg()
    found = program(tmp_path / "ffmpeg", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg() == found
    given = program(tmp_path / "other", "")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", given)
    assert ffmpeg() == given
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such")
    with pytest.raises(FractaljaxError, match="/no/such: there is no such program"):
        ffmpeg()
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(FractaljaxError, match=r"pip install 'fractaljax\[video\]'"):
        ffmpeg()


def test_enlarged_frames_are_announced_with_what_would_do(tmp_path, caplog):
    save_video(make_zoom(tmp_path), tmp_path / "a.mp4", size=64, fps=1)
    assert "enlarged up to 2.0 times" in caplog.text and "128 samples a side" in caplog.text
    caplog.clear()
    save_video(make_zoom(tmp_path, n=129), tmp_path / "a.mp4", size=64, fps=1)
    assert not caplog.text


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("reach", [20, 4.5, 1.2, 0.3, 1e-2, 1e-9, 1e-25])
def test_marks_lie_where_their_labels_say(scale, reach):
    """Checked in decimal arithmetic, at any depth; no text twice."""
    center = Decimal("13.29977123456789012345678901234567")
    found = marks(center, reach, scale)
    assert len({m.text for m in found}) == len(found) > 8
    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹" + MINUS, "-0123456789-")
    with localcontext(prec=60):
        for mark in found:
            text = mark.text
            if text[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹":
                mantissa, _, exponent = text.rpartition("10")
                text = f"{mantissa.rstrip(TIMES) or 1}e{exponent}"
            value = Decimal(text.translate(plain))
            off = value.log10() - center.log10() if scale == "log" else value - center
            assert abs(float(off) / reach - mark.at) < 1e-9
            assert abs(mark.at) <= 1 + 1e-9


def test_marks_come_in_and_never_change_their_text():
    """From one frame to the next, what stays in sight keeps its text."""
    center = Decimal("0.0123456789")
    before = {}
    for frame in range(120):
        reach = 3.0 * 2.0 ** (-frame / 10)
        now = {m.text: m for m in marks(center, reach, "log")}
        for text, mark in before.items():
            if abs(mark.at) < 0.9 and mark.gap > 0.1:
                assert text in now
        before = now


@pytest.mark.parametrize("depth", [0.0, 0.4, 30.0])
def test_labels_touch_the_borders_only(tmp_path, depth):
    view = View(512, 512, 640, 360, 2.0)
    frame = Image.new("RGB", (640, 360), (120, 160, 90))
    Overlay(make_zoom(tmp_path)[0], view).draw(frame, depth)
    found = np.asarray(frame)
    changed = np.any(found != (120, 160, 90), axis=-1)
    assert not changed[60:300, 250:].any()
    assert (found[-20:].min(axis=-1) > 240).sum() > 40  # white digits below
    assert (found[60:300, :60].min(axis=-1) > 240).sum() > 20  # and at the left


def test_labels_are_drawn_on_the_video(tmp_path):
    zoom, look = make_zoom(tmp_path), {"codec": "ffv1", "size": (160, 90), "fps": 2}
    save_video(zoom, tmp_path / "a.mkv", **look)
    save_video(zoom, tmp_path / "b.mkv", labels=True, **look)
    a, b = (decoded(tmp_path / name, (160, 90)).astype(int) for name in ("a.mkv", "b.mkv"))
    assert np.array_equal(a[:, 35:50, 100:120], b[:, 35:50, 100:120])
    assert all(far(x[-9:], y[-9:]) > 3 for x, y in zip(a, b, strict=True))


@pytest.mark.slow
def test_verb_takes_a_stored_zoom(tmp_path, capsys):
    spec, window = fj.load(CONFIG, ["steps=3"], only="demo")
    plan = family.plan(spec, window.resized(17), center=[Decimal(1), Decimal(2)], levels=3)
    family.run(plan, tmp_path / "zoom")
    parser = argparse.ArgumentParser()
    add_video(parser)
    parser.set_defaults(plugin=[])
    words = [str(tmp_path / "zoom"), "--size", "48x32", "--fps", "4", "--seconds-per-level", "1"]
    assert video(parser.parse_args([*words, "--labels", "--cmap", "viridis"])) == 0
    out = tmp_path / "zoom" / "video.mp4"
    assert capsys.readouterr().out == f"{out}\n"
    assert decoded(out, (48, 32)).shape == (4 + 8 + 1 + 4, 32, 48, 3)
    with pytest.raises(FractaljaxError, match="Did you mean 'webp'"):
        video(parser.parse_args([*words, "--codec", "web"]))
