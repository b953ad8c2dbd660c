"""`kill -9` at any moment: the same command goes on, and makes nothing twice."""

import itertools
import os
import random
import time
from pathlib import Path

import pytest
import small
import works
from commands import Command, World
from harness import SEED, Calm, calm, completed, lost, tally

KILLS = int(os.environ.get("FRACTALJAX_FAULTS_KILLS", "100"))  # of the long form, over all verbs
CHAIN = 4  # kills of one folder before its command may end
VERBS = list(works.READ)


def killed(undisturbed: Calm, out: Path, chance: random.Random, soon: bool) -> bool:
    """Starts a command and kills it at a random moment; whether it was still running then.

    Args:
        soon: the moment comes about when the folder is made or read again; else once a piece more
            is finished than was before.
    """
    work, before = undisturbed.work, undisturbed.work.finished(out)
    began, seconds = undisturbed.pace
    clock = time.monotonic()
    command = Command(work.words(out), World(careful=True))
    while not soon and command.running() and len(work.finished(out)) <= len(before):
        time.sleep(0.005)
    most = 2 * began if soon else seconds - (time.monotonic() - clock)
    end = time.monotonic() + chance.random() * most
    while command.running() and time.monotonic() < end:
        time.sleep(0.001)
    alive = command.running()
    command.kill()
    command.ended()
    return alive


def disturbed(undisturbed: Calm, place: Path, kills: int, seed: int) -> None:
    """Kills a command so many times, on one folder after the other, and lets each end."""
    chance, left, gone, false, worked = random.Random(seed), kills, 0, 0, 0
    folders = (place / str(number) for number in itertools.count())
    work = undisturbed.work
    print(f"{work.verb}: seed {seed}")
    while left:
        out, before = next(folders), {}
        for link in range(min(CHAIN, left)):
            alive = killed(undisturbed, out, chance, soon=link % 2 == 1)
            after = work.finished(out)
            before, gone = after, gone + lost(before, after)
            if not alive:  # no fault was injected
                break
            left, worked = left - 1, worked + bool(before)
        more, differing = completed(undisturbed, out, before)
        gone, false = gone + more, false + differing
    assert worked, "nothing was finished at any kill, so that nothing could be lost"
    tally("kill -9", work.verb, kills, gone, false)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_random_moments_the_same_command_goes_on(undisturbed, tmp_path, verb):
    disturbed(undisturbed(verb), tmp_path, 2, SEED + VERBS.index(verb))


@pytest.mark.slow
def test_killed_where_one_arm_starts_from_another(tmp_path):
    config = tmp_path / "grow.yaml"
    config.write_text(small.GROW + small.RANDOM)
    work = works.Work("grow", config, *works.READ["grow"])
    undisturbed, out = calm(work, tmp_path / "undisturbed"), tmp_path / "out"
    command = Command(work.words(out), World(careful=True))
    command.until((out / "arms" / "grown" / "members.csv").exists)
    command.kill()
    command.ended()
    before = work.finished(out)
    assert {Path(name).parts[1] for name in before} == {"static", "grown"}
    (out / "arms" / "grown" / "running.npz").write_bytes(b"as if killed before it was removed")
    assert completed(undisturbed, out, before) == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_a_hundred_random_moments(undisturbed, tmp_path, verb):
    share = KILLS // len(VERBS) + (VERBS.index(verb) < KILLS % len(VERBS))
    disturbed(undisturbed(verb), tmp_path, share, SEED + 1000 + VERBS.index(verb))
