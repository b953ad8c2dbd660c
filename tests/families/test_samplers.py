"""Trials that are asked for and told: what a sampler promises, whichever it is."""

import math
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import optuna
import pytest
from commands import Command
from scipy.stats import qmc

from fractaljax.config.space import Dimension, draw_trials
from fractaljax.config.study import LEARNING, SAMPLERS
from fractaljax.errors import FractaljaxError
from fractaljax.families.learning import JOURNAL
from fractaljax.families.samplers import sampler, spread_trials

SPACE = (
    Dimension("lr", "optimizer.lr", 1e-5, 3e-2, "log"),
    Dimension("beta1", "optimizer.beta1", 0.85, 0.99),
    Dimension("decay", "optimizer.weight_decay", choices=(0.0, 1e-3, 1e-2)),
    Dimension("dropout", "model.dropout", 0.01, 0.5),
)
TRIALS, BATCH = 32, 6


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def loss(number, values):
    """A bowl, where some trainings diverge or never have a finite loss."""
    if number % 7 == 3:
        return math.nan
    if number % 7 == 5:
        return math.inf
    bowl = math.log(values["lr"] / 1e-3) ** 2 + 10 * (values["dropout"] - 0.2) ** 2
    return bowl + 100 * values["decay"]


def searched(name, folder, seed=1, stop=None, told=None):
    """Trials and losses by number; `stop` ends it after so many asks or tells."""
    told = {} if told is None else told
    found = sampler(name, SPACE, TRIALS, seed, folder)
    for number in sorted(told):
        found.tell(number, told[number][1])
    steps = 0
    while len(told) < TRIALS:
        asked = found.ask(min(BATCH, TRIALS - len(told)))
        steps += 1
        if steps == stop:
            return told
        told.update({number: (values, loss(number, values)) for number, values in asked})
        for number, _ in asked:
            found.tell(number, told[number][1])
            steps += 1
            if steps == stop:
                return told
    return told


@pytest.mark.parametrize("name", SAMPLERS)
def test_trials_lie_in_the_space_and_are_numbered(name, tmp_path):
    told = searched(name, tmp_path)
    assert sorted(told) == list(range(TRIALS))
    for values, _ in told.values():
        assert list(values) == [dimension.name for dimension in SPACE]
        assert all(type(value) is float for value in values.values())
        assert 1e-5 <= values["lr"] <= 3e-2 and 0.85 <= values["beta1"] <= 0.99
        assert values["decay"] in (0.0, 1e-3, 1e-2) and 0.01 <= values["dropout"] <= 0.5
    assert len({values["lr"] for values, _ in told.values()}) == TRIALS


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides_and_the_folder_does_not(name, tmp_path):
    here = searched(name, tmp_path)
    assert repr(searched(name, None)) == repr(here)
    assert repr(searched(name, None, seed=2)) != repr(here)


@pytest.mark.parametrize("name", SAMPLERS)
def test_stopped_anywhere_it_ends_with_the_same_trials(name, tmp_path):
    whole = searched(name, None)
    for stop in (1, 2, 4, 7, 8, 11, 15, 22, 29, 30):
        folder = tmp_path / str(stop)
        folder.mkdir()
        some = searched(name, folder, stop=stop)
        assert len(some) < TRIALS
        again = searched(name, folder, stop=3, told=some)  # and once more, soon after
        assert repr(searched(name, folder, told=again)) == repr(whole)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_not_told_is_asked_again(name, tmp_path):
    one = sampler(name, SPACE, TRIALS, 1, tmp_path)
    asked = one.ask(4)
    assert [number for number, _ in asked] == [0, 1, 2, 3]
    assert one.ask(4) == asked and one.ask(2) == asked[:2]
    one.tell(1, 0.5)
    one.tell(1, 0.5)
    assert [number for number, _ in one.ask(4)] == [0, 2, 3, 4]
    assert sampler(name, SPACE, TRIALS, 1, tmp_path).ask(4) == asked  # told by nobody here


@pytest.mark.parametrize("name", SAMPLERS)
def test_there_are_no_more_trials_than_asked_for(name):
    one = sampler(name, SPACE, 5, 1, None)
    assert len(one.ask(99)) == 5
    for number in range(5):
        one.tell(number, 1.0)
    assert one.ask(3) == []


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns(name):
    space = (Dimension("a", "a", 1e-6, 1.0, "log"), Dimension("b", "b", 0.0, 1.0))
    one = sampler(name, space, 120, 1, None)
    losses = []
    for _ in range(12):
        for number, values in one.ask(10):
            far = (math.log10(values["a"]) + 2) ** 2 + (values["b"] - 0.3) ** 2
            losses.append(far)
            one.tell(number, far)
    drawn = draw_trials(space, 1000, 1)
    even = np.median([(math.log10(t["a"]) + 2) ** 2 + (t["b"] - 0.3) ** 2 for t in drawn])
    assert np.median(losses[-40:]) < even / 10


@pytest.mark.parametrize("name", LEARNING)
def test_architectures_start_alike(name):
    one, other = (sampler(name, SPACE, TRIALS, 1, None) for _ in range(2))
    first = one.ask(BATCH)
    assert other.ask(BATCH) == first
    for number, _ in first:
        one.tell(number, float(number))
        other.tell(number, -float(number))
    assert [values for _, values in one.ask(BATCH)] != [values for _, values in first]


@pytest.mark.parametrize("name", LEARNING)
def test_where_every_trial_fails_it_goes_on(name):
    one = sampler(name, SPACE, TRIALS, 1, None)
    seen = []
    while asked := one.ask(BATCH):
        seen += [values["lr"] for _, values in asked]
        for number, _ in asked:
            one.tell(number, math.nan)
    assert len(set(seen)) == TRIALS


def test_random_trials_are_the_shared_list():
    assert sampler("random", SPACE, 9, 4, None).ask(9) == list(enumerate(draw_trials(SPACE, 9, 4)))


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_spread_trials_begin_alike_and_fill_the_space(count):
    many = spread_trials(SPACE, 64, 3)
    assert spread_trials(SPACE, count, 3) == many[:count]
    for part in range(8):  # one trial in every eighth of a range, a property of the sequence
        low, high = (0.85 + 0.14 * edge / 8 for edge in (part, part + 1))
        assert sum(low <= trial["beta1"] < high for trial in many[:8]) == 1
    unit = [[(t["beta1"] - 0.85) / 0.14, (t["dropout"] - 0.01) / 0.49] for t in many]
    drawn = [
        [(t["beta1"] - 0.85) / 0.14, (t["dropout"] - 0.01) / 0.49]
        for t in draw_trials(SPACE, 64, 3)
    ]
    assert qmc.discrepancy(unit) < qmc.discrepancy(drawn) / 3


# ---- the journal


@pytest.mark.parametrize("name", LEARNING)
def test_the_journal_is_one_that_optuna_opens(name, tmp_path):
    told = searched(name, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {JOURNAL, ".sums"}
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL))
    study = optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(backend))
    assert {trial.number: trial.params for trial in study.trials} == {
        number: values for number, (values, _) in told.items()
    }
    best = min(told, key=lambda n: told[n][1] if math.isfinite(told[n][1]) else math.inf)
    assert study.best_trial.number == best


@pytest.mark.parametrize("text", ["nonsense\n", '{"op_code": 99}\n', "{}\n", '["a"]\n', "\x00"])
def test_a_damaged_journal_is_told(text, tmp_path):
    searched("tpe", tmp_path, stop=8)
    journal = tmp_path / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2], text, *lines[2:]]))
    with pytest.raises(FractaljaxError, match=r"optuna\.journal") as error:
        sampler("tpe", SPACE, TRIALS, 1, tmp_path)
    assert "\n" not in str(error.value)


def test_a_journal_that_was_removed_is_told(tmp_path):
    told = searched("tpe", tmp_path, stop=8)
    (tmp_path / JOURNAL).unlink()
    with pytest.raises(FractaljaxError, match="knows no trial 0; remove"):
        searched("tpe", tmp_path, told=told)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FractaljaxError, match=r"optuna\.journal"):
        sampler("tpe", SPACE, TRIALS, 1, tmp_path / "file").ask(1)


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_samplers import SPACE, TRIALS, BATCH, loss, sampler

name, folder, asks = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
found = sampler(name, SPACE, TRIALS, 1, folder)
known = {}
for line in (folder / "told").read_text().splitlines() if (folder / "told").exists() else []:
    number, value = line.split()
    known[int(number)] = float(value)
    found.tell(int(number), float(value))
while len(known) < TRIALS:
    asked = found.ask(min(BATCH, TRIALS - len(known)))
    print("asked", *(f"{n}:{v!r}" for n, v in asked), sep="|", flush=True)
    asks -= 1
    if asks == 0:
        sys.stdin.read()  # until it is killed
    lines = [(n, loss(n, v)) for n, v in asked]
    with open(folder / "told", "a") as file:
        file.writelines(f"{n} {value!r}\\n" for n, value in lines)
    for n, value in lines:
        known[n] = value
        found.tell(n, value)
"""


@pytest.mark.parametrize("name", LEARNING)
def test_killed_between_ask_and_tell_it_ends_with_the_same_trials(name, tmp_path):
    """A real process, killed with -9 after its first and its fourth batch."""

    def started(asks):
        return Command([Path(__file__).parent, name, tmp_path, asks], script=KILLED)

    seen = {}
    for asks in (1, 4, 0):
        process = started(asks)
        batches = []
        while line := process.line():
            batches.append(line.rstrip("\n").split("|")[1:])
            for trial in batches[-1]:
                number, _, values = trial.partition(":")
                assert seen.setdefault(int(number), values) == values  # as it was asked before
            if len(batches) == asks:
                process.kill()
        assert process.ended().code == (-signal.SIGKILL if asks else 0)
    whole = searched(name, None)
    assert seen == {number: repr(values) for number, (values, _) in whole.items()}
    assert {path.name for path in tmp_path.iterdir()} == {JOURNAL, ".sums", "told"}


# ---- what is refused


def test_an_unknown_name():
    with pytest.raises(FractaljaxError, match="Did you mean 'cmaes'"):
        sampler("cma-es", SPACE, 3, 1, None)


def test_cmaes_needs_ranges():
    space = (SPACE[0], SPACE[2])
    with pytest.raises(FractaljaxError, match="the space has 1 of the 2 ranges"):
        sampler("cmaes", space, 3, 1, None)


@pytest.mark.parametrize(("name", "module"), [("tpe", "optuna"), ("cmaes", "cmaes")])
def test_an_extra_that_is_not_installed_is_named(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FractaljaxError) as error:
        sampler(name, SPACE, 3, 1, None)
    assert str(error.value) == f"sampler {name} needs {module}: pip install 'fractaljax[search]'"


def test_lists_need_no_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in set(SAMPLERS) - set(LEARNING):
        assert len(sampler(name, SPACE, 3, 1, None).ask(3)) == 3
