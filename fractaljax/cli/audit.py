"""The verb `audit`: how much of a result is decided by rounding."""

import argparse
import csv
import io
from pathlib import Path

from fractaljax.cli.progress import Gauge

AUDIT = """examples:
  fractaljax audit outputs/tanh-zoom
  fractaljax audit outputs/tanh-zoom --pixels 4096 --csv

float32 against float64: pixels whose outcome (converged or not) differs when they are trained in
the other precision; distinct: the share of them that are different points in float32 at all.
One ulp: pixels whose outcome differs when the x value is the next larger floating-point number."""


def audit(arguments: argparse.Namespace) -> int:
    """Trains a sample of every level again, in the other precision and one ulp away."""
    from fractaljax import config, store
    from fractaljax.families import audit as family
    from fractaljax.families import fractal
    from fractaljax.view.files import replacing

    config.load_plugins(arguments.plugin)
    levels = store.open_levels(arguments.dir)
    fractal.prepare(levels[0].spec.dtype, arguments.devices)

    with Gauge("audit", "compiling") as gauge:
        rows = family.audit(
            levels,
            pixels=arguments.pixels,
            seed=arguments.seed,
            devices=arguments.devices,
            on_level=lambda done, all_: gauge.show(done, all_, f"{done} of {all_} samples trained"),
        )
    print(f"{'level':>5} {'pixels':>7} {'float32/float64':>17} {'distinct':>9} {'one ulp':>17}")
    for r in rows:
        other, ulp = _percent(r.other, r.other_error), _percent(r.ulp, r.ulp_error)
        print(f"{r.level:>5} {r.pixels:>7} {other:>17} {100 * r.distinct:>7.1f} % {ulp:>17}")
    if arguments.csv:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(family.Row._fields)
        writer.writerows(rows)
        place = Path(arguments.dir) / "audit.csv"
        with replacing(place) as stream:
            stream.write(text.getvalue().encode())
        print(place)
    return 0


def add_audit(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    add = parser.add_argument
    add("dir", metavar="DIR", help="a zoom, or the result of a scan")
    add("--pixels", type=int, default=1024, metavar="N", help="a level (default: 1024)")
    add("--seed", type=int, default=0, metavar="N", help="of the sample")
    add("--devices", type=int, metavar="N", help="devices to use (default: all)")
    add("--csv", action="store_true", help="write audit.csv into DIR too")


def _percent(share: float, error: float) -> str:
    return f"{100 * share:.2f} +- {100 * error:.2f} %"
