"""Small questions that several files of tests ask. Trained with `NUMERIC`, as all do, they share
their compiled programs."""

SEARCH = """
problem: {name: synthetic_classes, points: 300, inputs: 16, validation: 50, test: 100, batch: 16,
          sampling: passes}
model: {name: mlp, activation: leaky_relu, bias: true, parametrisation: torch}
optimizer: adamw
stopping: {name: patience, patience: 2, schedule: [], interval: 1}
epochs: 6
space: {lr: {path: optimizer.lr, min: 1.0e-3, max: 0.1, scale: log}}
architectures: [[4], [6]]
search: {trials: 4, batch: 2}
retrain: {seeds: [1, 2]}
transfer: {seeds: [1, 3]}
"""
GROW = """
question: A small one.
model: {name: masked_mlp, widths: [12, 8, 8], start: [12, 0, 8], density: 0.3, activation: relu}
problem: {name: synthetic_classes, points: 300, inputs: 16, validation: 50, test: 100}
optimizer: {name: adam, lr: 0.02}
stopping: {name: patience, interval: 1, patience: 1000, schedule: []}
data_seed: 1
epochs: 12
seeds: 3
snapshots: true
arms:
  static: {}
  grown:
    when: {name: every, epochs: 4}
    where: {name: extrema, high: 0.5, low: 0.1}
    growth: {patches: {size: 2, most: 2}}
"""
RANDOM = """
  random:
    when: {name: every, epochs: 1, most: 64}
    growth: random
    take: {from: grown, growth.random.edges: edges_grown, growth.random.first: first_event,
           growth.random.last: last_event}
"""  # another arm of `GROW`
NUMERIC = {"search": {"devices": 1, "chunk": 4}, "grow": {"devices": 1, "chunk": 3}}


def options(verb: str) -> list[str]:
    """`NUMERIC` as words of a command."""
    return [word for name, value in NUMERIC[verb].items() for word in (f"--{name}", str(value))]
