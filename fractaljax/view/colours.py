"""Colour maps by name: 256 colours each, light to import, other packages only when asked for.

A map is a factory in the role `colormap` that returns a table, uint8 `[256, 3]`. Pictures put
low readings (converged) at the END of a map and high ones at its beginning, as published:
with `Spectral`, what converges is blue. The suffix `_r` turns any map round.
"""

import difflib
import importlib

import numpy as np

from fractaljax import registry
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.registry import register
from fractaljax.view import gradients

LEVELS = 256
MISSING = (150, 150, 150)  # pixels that are not trained, or whose reading is NaN
STATUS = {  # the codes 0, 1, ... of the reading `status`, in colours that go with `Spectral`
    "converged": (50, 110, 180),
    "bounded": (102, 194, 165),
    "oscillating": (254, 217, 118),
    "diverged": (213, 62, 79),
    "not finite": (90, 10, 50),
}
_EXTRAS = {"cmc.": "cmcrameri.cm", "cet_": "colorcet"}  # prefix -> module that registers the names


def table(name: str) -> np.ndarray:
    """The colours of a map, uint8 `[256, 3]`.

    Args:
        name: a registered map, any map of matplotlib, `cmc.*` (scientific colour maps) or
            `cet_*` (colorcet), the last two with the extra `colormaps`; a gradient file
            (`gradients.FORMATS`); or colours with commas between them, `#102030,white`. `_r` at
            the end turns a map round.

    Raises:
        FractaljaxError: nobody knows the name, the extra is not installed, or the file is not
            what its name says.
    """
    known = registry.names("colormap")
    for base, step in ((name, 1), (name.removesuffix("_r"), -1)):
        if base in known:
            colours = np.asarray(registry.lookup("colormap", base)())
            if colours.shape != (LEVELS, 3) or colours.dtype != np.uint8:
                raise FractaljaxError(f"colour map '{base}' must return a uint8 table [256, 3]")
            return colours[::step]
    for base, step in ((name, 1), (name.removesuffix("_r"), -1)):
        if gradients.is_file(base):
            return gradients.read(base, LEVELS)[::step]
    for prefix, module in _EXTRAS.items():
        if name.startswith(prefix):
            try:
                importlib.import_module(module)
            except ImportError:
                raise FractaljaxError(
                    f"colour map '{name}' needs the extra: pip install 'fractaljax[colormaps]'"
                ) from None
    return _matplotlib(name)


def _matplotlib(name: str) -> np.ndarray:
    """The table of a map that matplotlib knows, resampled where it has other than 256 colours,
    or of a list of colours: its names (`pink`, `gray`) give way to those of maps."""
    from matplotlib import colormaps

    if name not in colormaps:
        base = name.removesuffix("_r")
        if gradients.is_list(base):
            return gradients.from_list(base, LEVELS)[:: 1 if base == name else -1]
        # matplotlib knows some 180 names: an error that can be read lists ours and the nearest
        near = difflib.get_close_matches(name, colormaps, n=3, cutoff=0.5)
        raise unknown("colour map", name, {*registry.names("colormap"), *near})
    return colormaps[name](np.linspace(0, 1, LEVELS), bytes=True)[:, :3]


@register("colormap", "Spectral")
def spectral() -> np.ndarray:
    """Diverging, the look of the paper: converged is blue, diverged is red. Not perceptual."""
    return _matplotlib("Spectral")


@register("colormap", "viridis")
def viridis() -> np.ndarray:
    """Sequential and perceptually uniform, purple to yellow."""
    return _matplotlib("viridis")


@register("colormap", "cividis")
def cividis() -> np.ndarray:
    """Sequential and perceptually uniform, the same with and without colour vision deficiency."""
    return _matplotlib("cividis")


@register("colormap", "magma")
def magma() -> np.ndarray:
    """Sequential and perceptually uniform, black over red to white."""
    return _matplotlib("magma")


@register("colormap", "inferno")
def inferno() -> np.ndarray:
    """Sequential and perceptually uniform, black over red to yellow."""
    return _matplotlib("inferno")


@register("colormap", "berlin")
def berlin() -> np.ndarray:
    """Diverging and perceptually uniform on each side, dark in the middle."""
    return _matplotlib("berlin")


@register("colormap", "coolwarm")
def coolwarm() -> np.ndarray:
    """Diverging and smooth in lightness, light in the middle."""
    return _matplotlib("coolwarm")


@register("colormap", "twilight")
def twilight() -> np.ndarray:
    """Cyclic: the two ends meet, for phases."""
    return _matplotlib("twilight")
