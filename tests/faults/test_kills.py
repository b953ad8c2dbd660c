"""`kill -9` at any moment: the same command goes on, and makes nothing twice."""

import os
import random
import time
from pathlib import Path

import pytest
import works
from commands import Command
from harness import SEED, Calm, completed, lost, tally

KILLS = int(os.environ.get("FRACTALJAX_FAULTS_KILLS", "100"))  # of the long form, over all verbs
CHAIN = 4  # kills of one folder before its command may end
VERBS = list(works.READ)


def killed(undisturbed: Calm, out: Path, chance: random.Random, before: works.Pieces) -> int:
    """Starts a command, kills it at a random moment, and counts what that lost."""
    command = Command(undisturbed.work.words(out))
    begun = out.exists()
    if chance.random() < 0.8:  # else at any moment, before anything is written too
        while not begun and not out.exists() and command.running():
            time.sleep(0.001)
        time.sleep(chance.random() * (undisturbed.seconds - undisturbed.began) * 0.9)
    else:
        time.sleep(chance.random() * undisturbed.seconds)
    alive = command.running()
    command.kill()
    command.ended()
    return lost(before, undisturbed.work.finished(out)) if alive else -1


def disturbed(undisturbed: Calm, place: Path, kills: int, seed: int) -> None:
    """Kills a command so many times, on one folder after the other, and lets each end."""
    chance, left, gone, false = random.Random(seed), kills, 0, 0
    print(f"{undisturbed.work.verb}: seed {seed}")
    while left:
        out, before = place / f"{left}", {}
        for _ in range(min(CHAIN, left)):
            found = killed(undisturbed, out, chance, before)
            if found < 0:  # it ended before its moment came: no fault was injected
                break
            left, gone = left - 1, gone + found
            before = undisturbed.work.finished(out)
        more, differing = completed(undisturbed, out, before)
        gone, false = gone + more, false + differing
    tally("kill -9", undisturbed.work.verb, kills, gone, false)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_a_random_moment_the_same_command_goes_on(undisturbed, tmp_path, verb):
    disturbed(undisturbed(verb), tmp_path, 1, SEED + VERBS.index(verb))


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_a_hundred_random_moments(undisturbed, tmp_path, verb):
    share = KILLS // len(VERBS) + (VERBS.index(verb) < KILLS % len(VERBS))
    disturbed(undisturbed(verb), tmp_path, share, SEED + 1000 + VERBS.index(verb))
