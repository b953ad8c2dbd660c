"""What does a poster cost once the field is on disk?

    python benchmarks/posters.py [SIDE]

Makes a stored field of 16384 x 16384 measures in float64 (waves whose sign changes on curves, times
log-normal noise, one value in a thousand NaN) without training, then renders it in every form that
is streamed, each in a process of its own: seconds, seconds of the processor (both cores), peak
memory of the process, and size on disk.

RESULT (two cores of an Intel Xeon with AVX-512, 22 November 2026; field on disk: 1849 MiB):

    PNG                        37.7 s   41.6 s   1025 MiB    608.7 MiB in 1 files
    PNG with contour           43.8 s   49.9 s   1040 MiB    608.9 MiB in 1 files
    PNG antialiased to half    26.9 s   31.0 s   1064 MiB    163.4 MiB in 1 files
    BigTIFF                    49.2 s   52.9 s   1017 MiB    792.1 MiB in 1 files
    DZI                        38.2 s   55.4 s   1030 MiB    806.2 MiB in 5732 files
    z/x/y                      37.4 s   54.0 s   1032 MiB    793.5 MiB in 5463 files
    figure                     21.9 s   26.2 s   1131 MiB      3.6 MiB in 1 files
    SVG outline                 8.3 s   11.6 s    710 MiB      0.2 MiB in 1 files
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fractaljax as fj
from fractaljax.ledger import Reading
from fractaljax.store import Store
from fractaljax.view.contour import Line, save_outline
from fractaljax.view.figure import save_figure
from fractaljax.view.image import save_image
from fractaljax.view.painting import paint
from fractaljax.view.pyramid import save_dzi, save_xyz
from fractaljax.view.tiff import save_tiff

SIDE = 16_384
TILE = 128  # what a scan of this size chooses on a CPU
MIB = 2**20
FORMS = {
    "PNG": lambda field, out: save_image(field, f"{out}/a.png"),
    "PNG with contour": lambda field, out: save_image(field, f"{out}/a.png", contour=Line()),
    "PNG antialiased to half": lambda field, out: save_image(
        half(field), f"{out}/a.png", fine=field
    ),
    "BigTIFF": lambda field, out: save_tiff(paint(field), f"{out}/a.tif"),
    "DZI": lambda field, out: save_dzi(paint(field), f"{out}/a.dzi"),
    "z/x/y": lambda field, out: save_xyz(paint(field), f"{out}/a"),
    "figure": lambda field, out: save_figure(field, f"{out}/a.png"),
    "SVG outline": lambda field, out: save_outline(field, f"{out}/a.svg"),
}


def window(side: int) -> fj.Window:
    return fj.Window(*(fj.Axis(f"optimizer.lr_{w}", 1e-3, 1e6, side) for w in ("in", "out")))


def make(folder: Path, side: int) -> None:
    """A store as a scan would leave it."""
    spec, t = fj.Spec(dtype="float64"), np.linspace(0, 20, side)
    store = Store(folder, spec, window(side))
    store.begin({"measure": Reading((), "float64")}, {"chunk": 64, "tile": TILE, "backend": "cpu"})
    rng = np.random.default_rng(0)
    for index, tile in store.pending():
        phase = t[tile.rows, None] + np.sin(t[tile.columns])
        values = np.sin(phase) * np.exp(rng.normal(3, 2, tile.shape))
        values[rng.random(tile.shape) < 1e-3] = np.nan
        store.write(index, tile, {"measure": values})
    store.finish({"wall_s": 0.0, "pixels": side * side})


def half(field: fj.Field) -> fj.Field:
    """The field of every second row and column: what a picture with 2 x 2 samples belongs to."""
    nx = field.window.x.n // 2
    values = np.empty((nx, nx), np.float32)
    for top in range(0, nx, TILE):  # a part at a time: the peak must be the picture's
        values[top : top + TILE] = field.arrays["measure"][2 * top : 2 * (top + TILE)][::2, ::2]
    arrays = {"measure": values}
    return fj.Field(field.spec, window(nx), arrays, field.done[::2, ::2], field.provenance)


def child(folder: str, form: str) -> None:
    field = fj.open(folder)
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as out:
        clock = time.perf_counter()
        FORMS[form](field, out)
        wall = time.perf_counter() - clock
        files = [p for p in Path(out).rglob("*") if p.is_file()]
        size = sum(p.stat().st_size for p in files) / MIB
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak, busy = used.ru_maxrss * unit / MIB, used.ru_utime + used.ru_stime
    print(
        f"    {form:<24} {wall:6.1f} s {busy:6.1f} s {peak:6.0f} MiB {size:8.1f} MiB "
        f"in {len(files)} files"
    )


def main(side: int) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place) / "field"
        clock = time.perf_counter()
        make(folder, side)
        stored = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / MIB
        made = time.perf_counter() - clock
        print(f"    {side} x {side} on disk: {stored:.0f} MiB, made in {made:.0f} s", flush=True)
        for form in FORMS:
            subprocess.run([sys.executable, __file__, "child", str(folder), form], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else SIDE)
