"""`digits3`: a digit as it is spoken, as it is written, and as a clue tells it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amodal.collections.raw import Media, RawFiles
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder, save_dataset
from amodal.errors import DataError, unknown_name
from amodal.types import Task

__all__ = ["CLUES", "SPLITS", "prepare_digits3"]

SPLITS = ("recording", "speaker")
"""What a test row shares with no training row."""

CLUES: dict[str, tuple[int, ...]] = {
    "below three": (0, 1, 2),
    "above seven": (8, 9),
    "above six": (7, 8, 9),
    "between four and six": (4, 5, 6),
    "between one and three": (1, 2, 3),
    "between five and eight": (5, 6, 7, 8),
    "even and below five": (0, 2, 4),
    "even and above three": (4, 6, 8),
    "odd and below six": (1, 3, 5),
    "odd and above four": (5, 7, 9),
    "a prime number": (2, 3, 5, 7),
    "a square number": (0, 1, 4, 9),
    "a multiple of three": (0, 3, 6, 9),
    "a power of two": (1, 2, 4, 8),
    "one with a closed loop": (0, 6, 8, 9),
    "one of straight lines alone": (1, 4, 7),
    "either three or eight": (3, 8),
    "either one or seven": (1, 7),
    "either zero or six": (0, 6),
    "either two or five": (2, 5),
    "either four or nine": (4, 9),
}
"""Clue -> the two to four digits that it leaves possible."""

_SAID = ("it is {}", "the digit is {}", "somebody says that it is {}", "I think it is {}")
_NAME = re.compile(r"(?:.*/)?(\d)_([A-Za-z]+)_(\d+)\.wav")
_TEST_TAKES, _TEST_SPEAKERS, _TEST_IMAGES = 5, 2, 0.2
_WRONG = 0.1


def prepare_digits3(
    raw: str | Path, out: str | Path, *, split: str = "recording", seed: int = 0
) -> Dataset:
    """A row for each recording of the Free Spoken Digit Dataset, with an image and a clue.

    | modality | what it is |
    |---|---|
    | ``voice`` | the recording (8 kHz) |
    | ``image`` | a written digit of the same class: 8 x 8 pixels, of scikit-learn's digits |
    | ``clue`` | a sentence that leaves two to four digits possible; for one row in ten, in each part of the split and each class as far as numbers allow, it excludes the true one |

    Test rows: ``split="recording"``: takes 0 to 4 of each speaker and digit,
    as its makers suggest; ``"speaker"``: all of
    the two speakers that come last in the alphabet, whom no training row has. A fifth of the images
    of each class belongs to the test rows; where rows of one part share an image, they are a group.
    Which image and which clue a row has is drawn by `seed`. ``clues.csv`` in the folder says which
    clues are wrong.

    Args:
        raw: the folder or zip of the recordings, called ``digit_speaker_take.wav``.
        out: a new folder, or a data set that is replaced.
        split: see above.
        seed: of images and clues.

    Raises:
        DataError: no recordings, or one that cannot be decoded.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another split.

    Reference: Jackson et al., Free Spoken Digit Dataset; Alpaydin and Kaynak, 1998 (images).
    """  # noqa: E501
    if split not in SPLITS:
        raise unknown_name("split of digits3", split, SPLITS)
    folder, files = check_target_folder(out), RawFiles(raw)
    names = list(files.find(lambda n: _NAME.fullmatch(n) is not None))
    if not names:
        raise DataError(
            f"recordings are called digit_speaker_take.wav; {files.path.name} has none; name the "
            "folder or zip of the Free Spoken Digit Dataset"
        )
    parts = [_NAME.fullmatch(n).groups() for n in names]
    digit = np.array([int(d) for d, _, _ in parts])
    test = _test_rows(parts, split)
    rng = np.random.default_rng([seed, 3])
    media = Media(folder)
    ids = [f"{d}_{speaker}_{take}" for d, speaker, take in parts]
    voice = [media.add(f"{i}.wav", files.read(n), "audio") for i, n in zip(ids, names, strict=True)]
    written = _images(media, digit, test, rng)
    clue, wrong = _clues(digit, test, rng)
    data = Dataset.from_arrays(
        {"voice": voice, "image": [s for _, s in written], "clue": clue},
        digit.astype(float),
        modalities={"voice": "audio", "image": "image", "clue": "text"},
        task=Task("multiclass", tuple("0123456789"), name="digit"),
        rows={
            "row_id": ids,
            "group": [name for name, _ in written],
            "split": np.where(test, "test", ""),
        },
        provenance={
            "kind": "digits3",
            "split": split,
            "seed": seed,
            "wrong_clues": int(sum(wrong)),
        },
    )
    save_dataset(data, folder, beside={**media.beside, "clues.csv": _table(ids, clue, wrong)})
    return Dataset.load(folder)


def _test_rows(parts: Sequence[tuple[str, str, str]], split: str) -> np.ndarray:
    if split == "recording":
        return np.array([int(take) < _TEST_TAKES for _, _, take in parts])
    held = sorted({speaker for _, speaker, _ in parts})[-_TEST_SPEAKERS:]
    return np.array([speaker in held for _, speaker, _ in parts])


def _images(
    media: Media, digit: np.ndarray, test: np.ndarray, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """(name, source) of each row's image; images of test rows are no other row's."""
    from sklearn.datasets import load_digits

    known = load_digits()
    found: list[tuple[str, str]] = [("", "")] * len(digit)
    for d in range(10):
        every = rng.permutation(np.flatnonzero(known.target == d))
        cut = round(_TEST_IMAGES * len(every))
        for pool, rows in (
            (every[:cut], np.flatnonzero((digit == d) & test)),
            (every[cut:], np.flatnonzero((digit == d) & ~test)),
        ):
            for k, row in enumerate(rng.permutation(rows)):
                j = int(pool[k % len(pool)])
                name = f"digit-{j}"
                found[row] = (name, media.add(f"{name}.png", _png(known.images[j]), "image"))
    return found


def _png(image: np.ndarray) -> bytes:
    """Shades of 0 to 16 as 0 to 255, white on black."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _clues(
    digit: np.ndarray, test: np.ndarray, rng: np.random.Generator
) -> tuple[list[str], np.ndarray]:
    """A sentence for each row, and whether it excludes the true digit."""
    wrong = np.zeros(len(digit), dtype=bool)
    for part in (test, ~test):
        rows = rng.permutation(np.flatnonzero(part))
        rows = rows[np.argsort(digit[rows], kind="stable")]  # every tenth: all classes alike
        wrong[rows[rng.integers(0, 10) :: round(1 / _WRONG)]] = True
    told = []
    for d, bad in zip(digit.tolist(), wrong, strict=True):
        fitting = [clue for clue, left in CLUES.items() if (d in left) != bad]
        said = _SAID[rng.integers(len(_SAID))]
        told.append(said.format(fitting[rng.integers(len(fitting))]))
    return told, wrong


def _table(ids: Sequence[str], clue: Sequence[str], wrong: np.ndarray) -> bytes:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["row_id", "clue", "wrong"])
    table.writerows(zip(ids, clue, wrong.astype(int).tolist(), strict=True))
    return file.getvalue().encode()
