"""Studies from Python: what `search`, `transfer` and `grow` do, with what they found."""

from collections.abc import Sequence
from pathlib import Path

from fractaljax.cluster import Cluster, Team, connected
from fractaljax.config.arms import read_arms
from fractaljax.config.study import parse_study, read_study
from fractaljax.errors import FractaljaxError
from fractaljax.families import growth as growing
from fractaljax.families import growth_report, report, units
from fractaljax.families import search as searching
from fractaljax.families import transfer as transferring
from fractaljax.families.members import Numeric
from fractaljax.families.search import OnLook


def search(
    path: str | Path,
    words: Sequence[str] = (),
    *,
    out: str | Path,
    devices: int | None = None,
    chunk: int | None = None,
    on_look: OnLook | None = None,
    cluster: str | Cluster | Team | None = None,
) -> report.SearchReport:
    """A whole search: `search("digits.yaml", ["search.trials=5"], out="outputs/tuned")`.

    Args:
        path: a YAML study.
        words: `path=value`, as on the command line.
        out: folder of the result; the same call goes on where it stopped.
        devices: that this process is to use, or each worker of the cluster.
        chunk: as in a scan.
        on_look: called with a `Progress` after every look at the validation data.
        cluster: as in a scan; its workers train an architecture each, and `on_look` hears nothing.

    Raises:
        FractaljaxError: the study, the folder or another process that is at work in it.
    """
    study, folder = read_study(path, words), Path(out)
    numeric = _own(devices, chunk, cluster)
    if cluster is not None:
        with connected(cluster, devices) as team:
            units.search(team, study, folder, chunk=chunk, on_unit=None)
    _none_elsewhere(searching.search(study, folder, numeric=numeric, on_look=on_look), folder)
    return report.search_report(folder)


def transfer(
    search_folder: str | Path,
    words: Sequence[str] = (),
    *,
    out: str | Path,
    devices: int | None = None,
    chunk: int | None = None,
    on_look: OnLook | None = None,
    cluster: str | Cluster | Team | None = None,
) -> report.TransferReport:
    """Every architecture of a search with the best hyperparameters of every other one.

    Args:
        search_folder: where the search is.
        words: as in `["transfer.seeds=[1,2,3]"]`; nothing else may differ from the search.
        out, devices, chunk, on_look, cluster: as in `search`.

    Raises:
        FractaljaxError: something of the search is missing, with the command that makes it.
    """
    origin, folder = Path(search_folder), Path(out)
    study = transferring.read_study(origin)
    study = parse_study(study.tree, study.name, words)
    found, numeric = transferring.read_search(study, origin), _own(devices, chunk, cluster)
    if cluster is not None:
        with connected(cluster, devices) as team:
            units.moved(team, found, origin, folder, chunk=chunk, on_unit=None)
    elsewhere = transferring.transfer(found, origin, folder, numeric=numeric, on_look=on_look)
    _none_elsewhere(elsewhere, folder)
    return report.transfer_report(folder)


def _own(devices: int | None, chunk: int | None, cluster: object) -> Numeric:
    """The numeric setting of this process; where a cluster is given, devices are a worker's."""
    return Numeric(devices if cluster is None else None, chunk)


def _none_elsewhere(names: list[str], folder: Path) -> None:
    if names:
        raise FractaljaxError(f"{folder}: another process is still at {', '.join(names)}")


def grow(
    path: str | Path,
    words: Sequence[str] = (),
    *,
    out: str | Path,
    devices: int | None = None,
    chunk: int | None = None,
    on_look: growing.OnLook | None = None,
    cluster: str | Cluster | Team | None = None,
) -> growth_report.Told:
    """A whole experiment: `grow("rules.yaml", ["seeds=8"], out="outputs/rules")`.

    Arguments and errors as of `search`; `path` is a YAML experiment.
    """
    experiment, folder = read_arms(path, words), Path(out)
    growing.warn_of_few_seeds(experiment)
    numeric = _own(devices, chunk, cluster)
    if cluster is not None:
        with connected(cluster, devices) as team:
            units.grow(team, experiment, folder, chunk=chunk, on_unit=None)
    _none_elsewhere(growing.run(experiment, folder, numeric=numeric, on_look=on_look), folder)
    return growth_report.report(folder)
