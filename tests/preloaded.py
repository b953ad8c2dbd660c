"""Everything that a command imports, for the server that commands are forked from.

JAX starts its backend in the forked process only. So a command costs what it does and not what it
imports, and can be killed like any other process.
"""

import importlib
import pkgutil

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot
import optax
import sklearn.datasets

OTHERS = (matplotlib.pyplot, optax, sklearn.datasets)
ROOMS = ("cli", "families", "store", "view", "parts", "engine")

for room in ROOMS:
    package = importlib.import_module(f"fractaljax.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{package.__name__}.{module.name}")
