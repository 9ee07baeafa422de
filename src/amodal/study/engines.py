"""Where the jobs of a study are done: processes of this machine, or a Ray cluster, both by joblib."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from amodal.errors import AmodalError, SettingError, unknown_name

__all__ = ["ENGINES", "RETURNED", "backend", "check_engine"]

ENGINES = ("processes", "ray")
"""What `run_study` can do its jobs with."""

RETURNED = {"processes": "generator_unordered", "ray": "list"}
"""How joblib hands back what is done: as it comes, or, which is all that Ray's backend can, at the
end. Finished cells are files all the same, so a killed study loses none of them."""


def check_engine(engine: str) -> None:
    """An engine that is known and installed.

    Raises:
        UnknownNameError: none of `ENGINES`.
        SettingError: Ray is not installed.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if engine == "ray" and find_spec("ray") is None:
        raise SettingError(
            "engine 'ray' needs the package ray; it is not installed; "
            "run pip install 'amodal[ray]', or use engine 'processes'"
        )


@contextmanager
def backend(engine: str, jobs: int) -> Iterator[None]:
    """Inside, joblib works with the engine.

    Args:
        engine: one of `ENGINES`.
        jobs: processes.

    Raises:
        AmodalError: a process was killed.
    """
    with _ray(jobs) if engine == "ray" else _processes():
        yield


@contextmanager
def _processes() -> Iterator[None]:
    from joblib import parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield
    except TerminatedWorkerError as error:
        raise _killed() from error


@contextmanager
def _ray(jobs: int) -> Iterator[None]:
    """joblib's Ray backend, on the cluster of RAY_ADDRESS or one that is started and ended here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray
    from joblib import parallel_config
    from ray.exceptions import RayError
    from ray.util.joblib import register_ray

    started = not ray.is_initialized()
    if started and os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    elif started:
        ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False)
    try:
        register_ray()
        with parallel_config(backend="ray"):
            yield
    except RayError as error:
        raise _killed() from error
    finally:
        if started:
            ray.shutdown()


def _killed() -> AmodalError:
    return AmodalError(
        "a process of the study was killed, most likely for want of memory; finished cells are "
        "kept; run the study again with fewer jobs"
    )
