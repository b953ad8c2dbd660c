"""Two processes at the same work in one folder: both end, and nothing is trained twice."""

import pytest
from commands import Command, World, run
from harness import VERBS, tally, wrong

pytestmark = pytest.mark.slow

FEW, MANY = [1], [pytest.param(5, marks=pytest.mark.long)]


def counted(file) -> int:
    """Tiles, runs or members that were trained."""
    return sum(map(int, file.read_text().split())) if file.exists() else 0


@pytest.mark.parametrize("times", FEW + MANY)
@pytest.mark.parametrize("verb", VERBS)
def test_two_processes_share_the_work(undisturbed, tmp_path, verb, times):
    whole, twice, differing = undisturbed(verb), 0, 0
    run(whole.work.words(tmp_path / "alone"), World(counted=tmp_path / "once"))
    for number in range(times):
        out, told = tmp_path / f"result-{number}", tmp_path / f"trained-{number}"
        pair = [Command(whole.work.words(out), World(counted=told)) for _ in range(2)]
        for ended in [command.ended() for command in pair]:
            assert ended.code == 0 and "Traceback" not in ended.told, ended.told
        twice += abs(counted(told) - counted(tmp_path / "once"))
        differing += wrong(whole.found, whole.work.found(out))
    assert counted(tmp_path / "once") > 0
    tally("two writers", verb, times, twice, differing)
