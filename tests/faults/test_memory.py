"""Memory that runs out: one line, or the end of the process where XLA itself has none left; what is
finished stays."""

import signal
from pathlib import Path

import pytest
import works
import yaml
from commands import Ended, World, run
from harness import lost, one_line, scan_first, tally

pytestmark = pytest.mark.slow

ROOM = 2**28  # bytes beyond what a small command of the verb has in use
HUGE = {  # what makes a network of it that no such room holds, and a small one before it
    "scan": ["model.width=3000", "model.depth=4"],
    "zoom": ["model.width=3000", "model.depth=4"],
    "sweep": ["model.hidden_dim=3,6000", "model.num_hidden=2", "batch_seed=0..4"],
    "search": ["architectures=[[4],[6000,6000]]"],
    "grow": [],
}


def config(verb: str, place: Path) -> Path:
    """The small config of a verb; for `grow` with an arm that is huge."""
    tree = yaml.safe_load(works.CONFIGS[verb])
    if verb == "grow":
        widths = {"widths": [6000, 6000], "start": [6000, 6000]}
        tree |= {"arms": {"static": {}, "huge": {"model": widths}}, "claims": {}}
    path = place / f"{verb}-huge.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@pytest.mark.parametrize("verb", scan_first(HUGE))
def test_out_of_memory_is_one_line_and_loses_nothing(undisturbed, tmp_path, verb):
    work, out = undisturbed(verb).work, tmp_path / "result"
    options = works.OPTIONS[verb][-4:] if verb == "sweep" else works.OPTIONS[verb]
    words = [verb, str(config(verb, tmp_path)), *options, *HUGE[verb], "--out", str(out)]
    warm = work.words(tmp_path / "warm")  # what a start takes is in use before the limit holds
    world = World(memory=ROOM, before=tuple(warm))
    how = [_ends(run(words, world))]
    kept = work.finished(out)
    how.append(_ends(run(words, world)))  # again, and no worse
    gone = lost(kept, work.finished(out))
    for one in sorted(set(how)):
        tally(f"out of memory, {one}", verb, how.count(one), gone)


def _ends(ended: Ended) -> str:
    """How: with one line; or, where memory runs out inside of XLA while it compiles, by XLA or the
    kernel, which no Python can catch."""
    if ended.code in (-signal.SIGABRT, -signal.SIGSEGV):
        assert "Traceback" not in ended.told, ended
        return "ended by XLA"
    assert "out of memory" in one_line(ended)
    return "one line"
