import sys

import numpy as np
import pytest

from fractaljax import registry
from fractaljax.errors import FractaljaxError
from fractaljax.view import colours


def lightness(table):
    """CIELAB L* of sRGB colours `[n, 3]`."""
    c = table / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)


@pytest.mark.parametrize("name", registry.names("colormap"))
def test_every_registered_map_is_a_table_with_a_description(name):
    table = colours.table(name)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    np.testing.assert_array_equal(colours.table(name + "_r"), table[::-1])
    assert registry.describe("colormap", name)


@pytest.mark.parametrize("name", ["viridis", "cividis", "magma", "inferno"])
def test_perceptual_maps_rise_in_lightness(name):
    steps = np.diff(lightness(colours.table(name)))
    assert steps.min() > -0.3  # of 100: rounding to 8 bits
    assert np.all(np.diff(lightness(colours.table(name))[::8]) > 0)


def test_the_cyclic_map_closes():
    first, last = colours.table("twilight")[[0, -1]].astype(int)
    assert np.abs(first - last).max() <= 3


@pytest.mark.parametrize("name", ["plasma", "tab10", "gist_earth_r", "cmc.batlow", "cet_fire"])
def test_maps_of_others(name):
    assert colours.table(name).shape == (256, 3)


@pytest.mark.parametrize(
    ("name", "hint"), [("virids", "viridis"), ("spectral", "Spectral"), ("gistearth", "gist_earth")]
)
def test_an_unknown_map_names_the_nearest(name, hint):
    with pytest.raises(FractaljaxError, match=f"colour map '{name}'.*Did you mean '{hint}'"):
        colours.table(name)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmcrameri", None)
    monkeypatch.delitem(sys.modules, "cmcrameri.cm", raising=False)
    with pytest.raises(FractaljaxError, match="colormaps"):
        colours.table("cmc.vik")


def test_a_map_of_a_wrong_shape_is_refused(monkeypatch):
    monkeypatch.setitem(registry._PARTS["colormap"], "odd", lambda: np.zeros((9, 3)))
    with pytest.raises(FractaljaxError, match="'odd' must return"):
        colours.table("odd")
