"""`kill -9` at any moment: the same command goes on, and makes nothing twice."""

import itertools
import os
import random
import time
from pathlib import Path

import pytest
import works
from commands import Command, World
from harness import SEED, Calm, Pace, completed, lost, tally

KILLS = int(os.environ.get("FRACTALJAX_FAULTS_KILLS", "100"))  # of the long form, over all verbs
CHAIN = 4  # kills of one folder before its command may end
VERBS = list(works.READ)


def killed(work: works.Work, out: Path, chance: random.Random, pace: Pace) -> Pace | None:
    """Starts a command and kills it at a random moment; None, or the pace of one that ended before
    its moment came."""
    clock = time.monotonic()
    command = Command(work.words(out), World(careful=True))
    start, most = clock, pace.seconds
    if chance.random() < 0.8:  # else at any moment, before anything is written too
        command.until(out.exists)
        start, most = time.monotonic(), pace.seconds - pace.began
    end = start + chance.random() * most
    while command.running() and time.monotonic() < end:
        time.sleep(0.001)
    seconds = time.monotonic() - clock
    alive = command.running()
    command.kill()
    command.ended()
    return None if alive else Pace(min(pace.began, seconds), seconds)


def disturbed(undisturbed: Calm, place: Path, kills: int, seed: int) -> None:
    """Kills a command so many times, on one folder after the other, and lets each end."""
    chance, left, gone, false = random.Random(seed), kills, 0, 0
    folders = (place / str(number) for number in itertools.count())
    work, pace = undisturbed.work, undisturbed.pace
    print(f"{work.verb}: seed {seed}")
    while left:
        out, before = next(folders), {}
        for link in range(min(CHAIN, left)):
            ended = killed(work, out, chance, pace)
            after = work.finished(out)
            before, gone = after, gone + lost(before, after)
            if ended:  # no fault was injected
                pace = pace if link else ended  # the undisturbed one may have compiled
                break
            left -= 1
        more, differing = completed(undisturbed, out, before)
        gone, false = gone + more, false + differing
    tally("kill -9", work.verb, kills, gone, false)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_random_moments_the_same_command_goes_on(undisturbed, tmp_path, verb):
    disturbed(undisturbed(verb), tmp_path, 2, SEED + VERBS.index(verb))


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_a_hundred_random_moments(undisturbed, tmp_path, verb):
    share = KILLS // len(VERBS) + (VERBS.index(verb) < KILLS % len(VERBS))
    disturbed(undisturbed(verb), tmp_path, share, SEED + 1000 + VERBS.index(verb))
