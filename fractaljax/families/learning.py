"""Samplers that learn from the trials before, by Optuna (https://optuna.org).

A trial is a function of the seed, its number and what was told before, so that a search killed at
any point ends with the trials of one that was not. The journal has Optuna's own format: its tools
open it with `JournalStorage(JournalFileBackend("optuna.journal"))`. Optuna would pickle the state
of CMA-ES into it and run whatever a journal holds; here that state is made again from the trials.
"""

import copy
import json
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from fractaljax.config.space import Dimension
from fractaljax.errors import FractaljaxError
from fractaljax.store import disk, seals

JOURNAL = "optuna.journal"


class Journal(BaseJournalBackend):
    """What Optuna knows, written whole, so that a kill leaves no half of a trial and no lock."""

    def __init__(self, path: Path | None):
        self._path = path
        self._lines: list[str] = []
        if path is not None and path.exists():
            with disk.on_disk(path):
                self._lines = seals.read(path).decode().splitlines()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return iter([json.loads(line) for line in self._lines[log_number_from:]])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._lines += [json.dumps(log, separators=(",", ":")) for log in logs]

    def write(self) -> None:
        if self._path is not None:
            with disk.on_disk(self._path):
                seals.replace(self._path, "".join(f"{line}\n" for line in self._lines))


class Learning:
    """A `samplers.Sampler`: `tpe` (Watanabe, arXiv:2304.11127) or `cmaes` (Hansen,
    arXiv:1604.00772)."""

    def __init__(
        self,
        name: str,
        space: Sequence[Dimension],
        trials: int,
        seed: int,
        folder: Path | None,
    ):
        ranges = sum(not dimension.choices for dimension in space)
        if name == "cmaes" and ranges < 2:
            raise FractaljaxError(
                f"sampler cmaes: the space has {ranges} of the 2 ranges that it needs"
            )
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._name, self._trials, self._seed = name, trials, seed
        self._space = {dimension.name: _distribution(dimension) for dimension in space}
        self._told: set[int] = set()
        self._path = None if folder is None else folder / JOURNAL
        self._journal = Journal(self._path)
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(self._journal), study_name="search", load_if_exists=True
            )
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            raise FractaljaxError(f"{self._path} is damaged; {self._again()}") from None

    def ask(self, count: int) -> list[tuple[int, dict[str, float]]]:
        known = self._study.get_trials(deepcopy=False)
        open_ones = [trial for trial in known if trial.number not in self._told]
        found = [(trial.number, self._values(trial.params)) for trial in open_ones[:count]]
        for number in range(len(known), min(self._trials, len(known) + count - len(found))):
            self._study.sampler = _seeded(self._name, f"{self._seed} {number}")
            found.append((number, self._values(self._study.ask(self._space).params)))
        self._journal.write()
        return found

    def tell(self, number: int, loss: float) -> None:
        known = self._study.get_trials(deepcopy=False)
        if number >= len(known):
            raise FractaljaxError(f"{self._path} knows no trial {number}; {self._again()}")
        self._told.add(number)
        # What failed counts as worse than all others: it is to be learnt from, too.
        value = loss if math.isfinite(loss) else math.inf
        self._study.tell(number, value, skip_if_finished=True)
        if all(trial.state == TrialState.COMPLETE for trial in self._study.get_trials(False)):
            self._journal.write()

    def _values(self, params: dict[str, Any]) -> dict[str, float]:
        return {name: float(params[name]) for name in self._space}

    def _again(self) -> str:
        return f"remove {self._path.parent if self._path else 'it'} and start the search again"


class _Replayed(optuna.samplers.CmaEsSampler):
    """CMA-ES whose state is what it was told, generation by generation: no pickle is written, and
    none that a journal holds is read. Bit for bit Optuna's own: an update draws nothing, and a copy
    is what a pickle would give back (half of a symmetric matrix)."""

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> Any:
        self._ranges = search_space
        return super().sample_relative(study, trial, search_space)

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        return {}  # what would be kept

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        key = self._attr_key_generation
        known = (trial.system_attrs.get(key, 0) for trial in completed_trials)
        if (generations := max(known, default=0)) == 0:
            return None
        space = _SearchSpaceTransform(self._ranges, transform_0_1=True)
        mine, self._cma_rng = self._cma_rng, LazyRandomState(0)  # not to draw from this trial's
        optimizer = self._init_optimizer(space, optuna.study.StudyDirection.MINIMIZE)
        self._cma_rng = mine
        for generation in range(generations):
            told = self._get_solution_trials(completed_trials, generation)
            known = [(t.params, t.value) for t in told[: optimizer.population_size]]
            optimizer.tell([(space.transform(p), v) for p, v in known if v is not None])
            optimizer = copy.deepcopy(optimizer)
        return optimizer


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if dimension.choices:
        return optuna.distributions.CategoricalDistribution(dimension.choices)
    return optuna.distributions.FloatDistribution(
        dimension.low, dimension.high, log=dimension.scale == "log"
    )


def _seeded(name: str, words: str) -> optuna.samplers.BaseSampler:
    """A sampler for one trial; all that it learnt is in the journal."""
    seed = random.Random(words).getrandbits(32)
    if name == "cmaes":
        return _Replayed(seed=seed, warn_independent_sampling=False)
    with warnings.catch_warnings():  # Optuna calls both settings experimental
        warnings.simplefilter("ignore")
        # Values are drawn together, and trials that are not told yet are kept away from.
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
