"""Many files at once: in worker processes where that is worth it, and ahead of their use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from amodal.errors import MediaError
from amodal.media.source import REASONS, UnreadableError

__all__ = ["Decoder", "checked", "decode_ahead", "decode_many", "try_decode"]

_PROBE, _PART = 16, 64
_WORKERS = -1  # one a core
_WORTH_SECONDS = 4.0  # starting workers takes about one


class Decoder(Protocol):
    """What turns a source into an array; it can be sent to another process."""

    kind: str

    def decode(self, source: str) -> np.ndarray:
        """The array; raises `UnreadableError`."""
        ...


Outcome = np.ndarray | str
"""The array, or why there is none: one of `REASONS`."""


def _outcomes(decoder: Decoder, sources: Sequence[str]) -> list[Outcome]:
    found: list[Outcome] = []
    for source in sources:
        try:
            found.append(decoder.decode(source))
        except UnreadableError as error:
            found.append(error.reason)
    return found


def try_decode(
    decoder: Decoder, sources: Sequence[str], *, workers: int | None = None
) -> Iterator[Outcome]:
    """The array of each source in turn, or the reason why there is none.

    The first 16 are decoded here; if the others would take more than about four seconds, worker
    processes decode them (joblib).

    Args:
        decoder: an `ImageDecoder` or `AudioDecoder`.
        sources: as in a data set.
        workers: number of processes; None for as many as there are cores, where that is worth it.

    >>> from amodal.media.image import ImageDecoder
    >>> list(try_decode(ImageDecoder(8), ["no-such-file.png"]))
    ['missing']
    """
    yield from _outcomes(decoder, sources[:1])  # loads libraries
    begin = time.monotonic()
    yield from _outcomes(decoder, sources[1:_PROBE])
    rest = list(sources[_PROBE:])
    if not rest:
        return
    each = (time.monotonic() - begin) / (_PROBE - 1)
    jobs = workers
    if jobs is None:
        jobs = _WORKERS if each * len(rest) > _WORTH_SECONDS else 1
    parts = [rest[k : k + _PART] for k in range(0, len(rest), _PART)]
    if jobs == 1:
        for part in parts:
            yield from _outcomes(decoder, part)
        return
    from joblib import Parallel, delayed

    run = Parallel(n_jobs=jobs, return_as="generator")
    for found in run(delayed(_outcomes)(decoder, part) for part in parts):
        yield from found


def decode_many(
    decoder: Decoder, sources: Sequence[str], *, workers: int | None = None
) -> list[np.ndarray]:
    """The arrays of all sources; see `try_decode`.

    Raises:
        MediaError: the first file that cannot be decoded.

    >>> from amodal.media.image import ImageDecoder
    >>> decode_many(ImageDecoder(8), ["no-such-file.png"])
    Traceback (most recent call last):
    amodal.errors.MediaError: files of kind image must be readable; one of them is not: there is ...
    """
    return checked(decoder, sources, try_decode(decoder, sources, workers=workers))


def checked(
    decoder: Decoder, sources: Sequence[str], outcomes: Iterable[Outcome]
) -> list[np.ndarray]:
    """The outcomes of `sources`, if all of them are arrays.

    Raises:
        MediaError: the first file that cannot be decoded.

    >>> from amodal.media.image import ImageDecoder
    >>> checked(ImageDecoder(8), ["a.png"], [np.ones(1)])
    [array([1.])]
    >>> checked(ImageDecoder(8), ["a.png"], ["empty"])
    Traceback (most recent call last):
    amodal.errors.MediaError: files of kind image must be readable; one of them is not: the file ...
    """
    found: list[np.ndarray] = []
    for source, outcome in zip(sources, outcomes, strict=True):
        if isinstance(outcome, str):
            raise MediaError(decoder.kind, outcome, REASONS[outcome], source=str(source))
        found.append(outcome)
    return found


Task = Sequence[tuple[Decoder, Sequence[str]]]
"""For each modality of a batch, its decoder and the sources that the batch needs."""


def _task(task: Task) -> list[list[Outcome]]:
    return [_outcomes(decoder, sources) for decoder, sources in task]


def decode_ahead(
    tasks: Iterable[Task], *, workers: int | None = None
) -> Iterator[list[list[Outcome]]]:
    """What `try_decode` says of the sources of each task, in order.

    Worker processes are up to two tasks each ahead of the one that is asked for, so that decoding
    goes on while a network is busy with the batch before.
    """
    from joblib import Parallel, delayed

    jobs = _WORKERS if workers is None else workers
    run = Parallel(n_jobs=jobs, return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
    yield from run(delayed(_task)(task) for task in tasks)
