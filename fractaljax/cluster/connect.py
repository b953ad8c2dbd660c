"""Making a cluster, or joining one that runs; the `Team` is what work is dealt to."""

import contextlib
import logging
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fractaljax.cluster import fitness
from fractaljax.cluster.address import Cluster, Place, place
from fractaljax.engine import plan
from fractaljax.errors import FractaljaxError

log = logging.getLogger("fractaljax")
LOOPBACK = "127.0.0.1"
LOOK_S = 1.0  # between two looks at which workers there are
ANSWER_S = 15.0  # that a scheduler may take to answer
NOBODY_S = 30.0  # until work ends of which all workers are left out: others may be on their way
NEEDED = "the extra `cluster`: pip install 'fractaljax[cluster]'"


class Gone(FractaljaxError):
    """The scheduler does not answer any more."""

    def __init__(self) -> None:
        super().__init__("the scheduler is gone; the same command goes on from here")


class Team:
    """The workers of a cluster.

    Attributes:
        client: of Dask distributed.
        devices: that each worker is to use; None is all it has.
        resources: that a piece of work asks of its worker.
        present: addresses of all workers at the last look.
        crowded: whether several workers were made on this very machine.
    """

    def __init__(
        self, client: Any, devices: int | None, resources: Mapping[str, float], crowded: bool
    ):
        self.client, self.devices, self.crowded = client, devices, crowded
        self.resources = dict(resources)
        self.present: set[str] = set()
        self._left_out: dict[str, str] = {}  # address -> why
        self._fit: list[str] = []
        self._looked = -LOOK_S
        self._useless: float | None = None  # since when all who are there are left out
        self._said_waiting = False

    def workers(self) -> list[str]:
        """Addresses of those that may help, looked up every second or so.

        Raises:
            FractaljaxError: for a while there was nobody who had not been left out.
        """
        if time.monotonic() - self._looked < LOOK_S:
            return self._fit
        try:
            found = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError, RuntimeError):
            raise Gone() from None
        fit, asked = [], []
        for address, worker in found.items():
            lacking = [n for n, v in self.resources.items() if worker["resources"].get(n, 0) < v]
            if worker["nthreads"] != 1:
                self.leave_out(address, f"it has {worker['nthreads']} threads: --nthreads 1")
            if not lacking:
                asked.append(address)
            if address not in self._left_out and worker["status"] == "running" and not lacking:
                fit.append(address)
        self._tell(set(found), fit)
        self.present, self._fit, self._looked = set(found), fit, time.monotonic()
        self._check_useful(asked)
        return fit

    def _check_useful(self, asked: list[str]) -> None:
        """Raises once all who are asked have been left out for a while."""
        now = time.monotonic()
        if not asked or any(address not in self._left_out for address in asked):
            self._useless = None
        elif self._useless is None:
            self._useless = now
        elif now - self._useless > NOBODY_S:
            why = self._left_out[asked[-1]]
            raise FractaljaxError(f"all workers ({len(asked)}) are left out; the last: {why}")

    def leave_out(self, address: str, why: str) -> None:
        """A worker gets no more work, and this is said once."""
        if address not in self._left_out:
            self._left_out[address] = why
            log.warning("worker %s is left out: %s", address, why)
        self._fit = [a for a in self._fit if a != address]

    def leave_out_unfit(self) -> None:
        """Leaves out all who would train by other versions than this process."""
        asked = self.client.run(fitness.unfit, fitness.versions(), on_error="return")
        for address, why in asked.items():
            if isinstance(why, ModuleNotFoundError | AttributeError):
                why = f"it has another fractaljax, or none ({why})"
            if why is not None:
                self.leave_out(address, str(why))

    def _tell(self, present: set[str], fit: list[str]) -> None:
        for address in sorted(self.present - present):
            log.warning("worker %s is gone; what it was at is handed out again", address)
        if not fit and not self._said_waiting:
            wanted = "".join(f" with {n}={v:g}" for n, v in self.resources.items())
            log.warning("waiting for a worker%s", wanted)
        self._said_waiting = not fit


@contextlib.contextmanager
def connected(cluster: "str | Cluster | Team", devices: int | None = None) -> Iterator[Team]:
    """The team of a cluster, which is ended with it where it was made here.

    Args:
        cluster: `local:N`, `slurm:N`, an address or a scheduler file; a Team stays as it is.
        devices: that each worker is to use (default: of `local:N` its share of the cores).

    Raises:
        FractaljaxError: no such cluster, or no such extra.
    """
    if isinstance(cluster, Team):
        yield cluster
        return
    asked = Cluster(cluster) if isinstance(cluster, str) else cluster
    spot = place(asked.where)
    if devices is not None and devices < 1:
        raise FractaljaxError(f"devices={devices}: at least 1")
    distributed = _distributed()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(distributed, spot, asked, stack))
        if spot.kind == "local":
            from fractaljax.cluster.deaf import Deaf

            client.register_plugin(Deaf())
            devices = devices or max(1, plan.cores() // spot.value)
        team = Team(client, devices, asked.resources, spot.kind == "local" and spot.value > 1)
        team.leave_out_unfit()
        yield team


def _client(distributed: Any, spot: Place, asked: Cluster, stack: contextlib.ExitStack) -> Any:
    """A client of a cluster that is found or made; the stack ends what was made."""
    if spot.kind == "local":
        where: Any = stack.enter_context(_local(distributed, spot.value, asked.resources))
    elif spot.kind == "slurm":
        where = stack.enter_context(slurm(asked.resources))
        where.scale(jobs=spot.value)
    else:
        where = spot.value
    try:
        return distributed.Client(where, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        why = str(error).split("\n")[0] or type(error).__name__
        raise FractaljaxError(f"cluster '{asked.where}': no scheduler answers: {why}") from None


def _local(distributed: Any, workers: int, resources: Mapping[str, float]) -> Any:
    """Workers on this machine, one process each, that nobody else can reach."""
    return distributed.LocalCluster(
        n_workers=workers,
        processes=True,
        threads_per_worker=1,
        host=LOOPBACK,
        dashboard_address=f"{LOOPBACK}:0",
        worker_dashboard_address=f"{LOOPBACK}:0",
        memory_limit=None,  # a scan in one process has none either
        resources=dict(resources) or None,
        silence_logs=logging.CRITICAL,
    )


def slurm(resources: Mapping[str, float]) -> Any:
    """A cluster of SLURM jobs, none yet, one worker each, as `jobqueue.slurm` of Dask's own
    configuration says.

    Raises:
        FractaljaxError: that configuration is missing, or asks for what is not done here.
    """
    SLURMCluster = _jobqueue().SLURMCluster
    import dask.config as settings

    if shutil.which("sbatch") is None:
        raise FractaljaxError("cluster slurm: there is no sbatch on this machine")
    given = settings.get("jobqueue.slurm")
    if not given.get("cores") or not given.get("memory"):
        raise FractaljaxError(
            "cluster slurm: jobqueue.slurm.cores and .memory are not set in Dask's configuration "
            "(~/.config/dask/jobqueue.yaml); deploy/slurm/jobqueue.yaml shows one"
        )
    if given.get("processes") not in (None, 1):
        raise FractaljaxError("cluster slurm: jobqueue.slurm.processes: one a job; ask for slurm:N")
    words = [*(given.get("worker-extra-args") or ())]
    lines = [*(given.get("job-extra-directives") or ())]
    if resources:
        words += ["--resources", ",".join(f"{n}={v:g}" for n, v in resources.items())]
    if "GPU" in resources:
        lines.append(f"--gpus={resources['GPU']:g}")
    try:
        # one thread, on which the devices of a job are driven, whatever its cores
        return SLURMCluster(
            cores=1,
            processes=1,
            job_cpu=given.get("job-cpu") or given["cores"],
            worker_extra_args=words,
            job_extra_directives=lines,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise FractaljaxError(f"cluster slurm: {str(error).splitlines()[0]}") from None


def _jobqueue() -> Any:
    """dask_jobqueue, without its handler of SIGINT: 0.9.0 sets one for the whole process when it is
    imported, by which Ctrl-C ends with status 0."""
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere and "dask_jobqueue" not in sys.modules:
        raise FractaljaxError("cluster slurm: connect from the main thread first, not from another")
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    except ImportError:
        raise FractaljaxError(f"cluster slurm needs {NEEDED}") from None
    finally:
        if not elsewhere:
            signal.signal(signal.SIGINT, interrupt)
    return dask_jobqueue


def _distributed() -> Any:
    """Dask distributed, with its own reports kept back: what matters is said here, in a line."""
    try:
        import distributed
    except ImportError:
        raise FractaljaxError(f"cluster needs {NEEDED}") from None
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed
