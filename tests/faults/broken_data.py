"""A plugin: problems whose data hold a number that is none."""

import fractaljax as fj
from fractaljax.parts.problems import random_regression
from fractaljax.parts.synthetic import synthetic_classes
from fractaljax.types import Problem


def _spoiled(problem: Problem, value: str) -> Problem:
    def load(key, source, count):
        data = problem.load(key, source, count)
        return data._replace(x=data.x.at[0, 0].set(float(value)))

    return problem._replace(load=load)


@fj.register("problem", "spoiled_regression")
def spoiled_regression(value: str = "nan") -> Problem:
    """Regression to noise, with one input that is `value`."""
    return _spoiled(random_regression(inputs=4, points=8), value)


@fj.register("problem", "spoiled_classes")
def spoiled_classes(value: str = "nan") -> Problem:
    """Ten signals, with one sample that is `value`."""
    return _spoiled(
        synthetic_classes(
            points=300, inputs=16, validation=50, test=100, batch=16, sampling="passes"
        ),
        value,
    )
