"""The flags of a cluster, the same for every verb that trains."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fractaljax.cli.progress import Gauge
from fractaljax.errors import FractaljaxError

if TYPE_CHECKING:
    from fractaljax.cluster import Team
    from fractaljax.families.units import Progress


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Where to train, and on which workers of it."""
    where = "train on local:N, slurm:N, tcp://HOST:PORT or a scheduler file (extra `cluster`)"
    parser.add_argument("--cluster", metavar="WHERE", help=where)
    what = "what a worker of the cluster must have, as in GPU=1"
    parser.add_argument("--cluster-resources", metavar="NAME=N", help=what)


@contextlib.contextmanager
def team(arguments: argparse.Namespace) -> Iterator["Team | None"]:
    """The team that a command asks for, or None where it trains by itself."""
    if arguments.cluster is None:
        refuse_cluster(arguments, "no --cluster is given")
        yield None
        return
    from fractaljax.cluster import Cluster, connected
    from fractaljax.cluster.address import resources

    asked = Cluster(arguments.cluster, resources(arguments.cluster_resources))
    with connected(asked, arguments.devices) as found:
        yield found


def own_devices(arguments: argparse.Namespace) -> int | None:
    """Devices that this process is to use; where a cluster is given, `--devices` are a worker's."""
    return arguments.devices if arguments.cluster is None else None


def refuse_cluster(arguments: argparse.Namespace, why: str) -> None:
    """Raises where a flag of a cluster is given and nobody would read it."""
    for name in ("cluster", "cluster_resources"):
        if getattr(arguments, name) is not None:
            raise FractaljaxError(f"--{name.replace('_', '-')} is not read: {why}")


@contextlib.contextmanager
def watched(title: str) -> Iterator[Callable[["Progress"], Any]]:
    """A gauge for the units of a study; Ctrl-C ends the command, the unit is gone on with later."""
    with Gauge(title, "starting workers") as gauge:

        def on_unit(progress: "Progress") -> None:
            note = f"{progress.phase}: {progress.done} of {progress.total} done"
            gauge.show(progress.done, progress.total, note)

        yield on_unit
