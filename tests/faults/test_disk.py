"""A full disk, and files that may not grow: one line, nothing half written, and the same command
goes on once there is room."""

import contextlib
import random

import pytest
from commands import World, run
from harness import SEED, VERBS, completed, mounted, one_line, remounted, tally

pytestmark = pytest.mark.slow

PAGE = 4096
FEW, MANY = [1], [pytest.param(8, marks=pytest.mark.long)]
PICTURES = {
    "render": ("picture.png", "picture.tif", "picture.svg", "picture.dzi"),
    "video": ("film.gif", "film.mp4"),
}


def used(place) -> int:
    """Bytes of all files in whole pages, as a file system in memory counts them."""
    return sum(-(-f.stat().st_size // PAGE) * PAGE for f in place.rglob("*") if f.is_file())


@pytest.mark.parametrize("times", FEW + MANY)
@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line_and_loses_nothing(undisturbed, tmp_path, verb, times):
    whole, chance = undisturbed(verb), random.Random(SEED + times)
    gone = wrong = 0
    for number in range(times):
        room = (
            int(used(whole.out) * (0.1 + 0.8 * chance.random())) // PAGE * PAGE or PAGE
        )  # 0: no limit
        with mounted(tmp_path / f"{number}", str(room)) as place:
            if place is None:
                pytest.skip("no file system can be mounted here; limits of files are tested below")
            out = place / "result"
            ended = run(whole.work.words(out))
            assert "space" in one_line(ended, place), ended
            kept = whole.work.finished(out)
            assert not [f for f in out.rglob(".*") if f.name.startswith(".fractaljax")]
            remounted(place, "size=64m")
            more, differing = completed(whole, out, kept)
            gone, wrong = gone + more, wrong + differing
    tally("disk full", verb, times, gone, wrong)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_may_not_grow_is_one_line_and_loses_nothing(undisturbed, tmp_path, verb):
    """A limit on the size of files: for users who may not mount anything."""
    whole, out = undisturbed(verb), tmp_path / "result"
    one_line(run(whole.work.words(out), World(file_size=1500)), out)
    tally("no file beyond 1500 bytes", verb, 1, *completed(whole, out, whole.work.finished(out)))


@pytest.mark.parametrize("verb", PICTURES)
def test_a_picture_is_there_whole_or_not_at_all(undisturbed, tmp_path, verb):
    whole, injected = undisturbed("zoom" if verb == "video" else "scan"), 0
    for name in PICTURES[verb]:
        with mounted(tmp_path / name, "8k") as place:
            if not place and name == "picture.dzi":
                continue  # a limit that stops its small files stops the line about it too
            injected += 1
            small = place or tmp_path / name
            world = World() if place else World(file_size=1000)
            earlier = small / name
            earlier.write_text("an earlier picture") if name != "picture.dzi" else None
            (small / "ballast").write_bytes(b"0" * 3500)
            if place:  # not a byte is left
                with contextlib.suppress(OSError), open(small / "more", "wb") as file:
                    file.write(b"0" * 2**20)
            before = {f: f.read_bytes() for f in small.iterdir() if f.is_file()}
            ended = run([verb, str(whole.out), "--out", str(earlier)], world)
            one_line(ended, earlier.stem)
            assert {f: f.read_bytes() for f in small.iterdir() if f.is_file()} == before, name
    tally("disk full", verb, injected)
