"""The verb `merge`: the runs of several machines in one table."""

import argparse

from fractaljax.cli.progress import Gauge

MERGE = """examples:
  fractaljax merge outputs/machine_a outputs/machine_b --out outputs/all

A run that several folders hold is taken from where it was written last. Folders of another base
setting are refused, with what differs. The folders stay as they are."""


def add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders of sweeps")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the joined table")


def merge(arguments: argparse.Namespace) -> int:
    """Joins sweeps."""
    from fractaljax.store import merging

    with Gauge("merge", "reading") as gauge:

        def on_rows(done: int, total: int) -> None:
            gauge.show(done, total, f"{done:,} of {total:,} runs")

        merging.merge(arguments.folders, arguments.out, on_rows)
    print(arguments.out)
    return 0
