"""Pictures of every mode become the same kind of array; what cannot be decoded says why."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from amodal.errors import SettingError, UnknownNameError
from amodal.media import ImageDecoder, Source, UnreadableError

Image = pytest.importorskip("PIL.Image")

RED, BLUE, GREY = (200, 10, 20), (5, 15, 180), (90, 90, 90)


def content(image, kind="PNG", **settings):
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def halves(width=8, height=4):
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return Image.fromarray(pixels)


def test_a_picture_of_the_right_size_is_itself():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    found = ImageDecoder(8).pixels(content(Image.fromarray(pixels)))
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))
    assert found.dtype == np.uint8


def test_what_each_fit_shows_of_a_wide_picture():
    wide = content(halves(16, 8))
    crop = ImageDecoder(8, resample="nearest").pixels(wide)
    np.testing.assert_array_equal(crop[:, 3, 0], RED)  # the middle: half of each colour
    np.testing.assert_array_equal(crop[:, 3, 3], RED)
    np.testing.assert_array_equal(crop[:, 3, 4], BLUE)
    boxed = ImageDecoder(16, fit="letterbox", resample="nearest").pixels(wide)
    assert (boxed[:, :4] == 0).all()
    assert (boxed[:, 12:] == 0).all()
    np.testing.assert_array_equal(boxed[:, 4, 0], RED)
    np.testing.assert_array_equal(boxed[:, 11, 15], BLUE)
    stretched = ImageDecoder(4, fit="stretch", resample="nearest").pixels(wide)
    assert [tuple(x) for x in stretched[:, 0].T] == [RED, RED, BLUE, BLUE]


def test_shrinking_takes_means():
    board = np.zeros((16, 16, 3), dtype=np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 200
    found = ImageDecoder(4).pixels(content(Image.fromarray(board)))
    np.testing.assert_allclose(found, 100, atol=2)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "I;16", "YCbCr"])
def test_every_mode_shows_the_same_grey(mode):
    level = 255 if mode == "1" else 90
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 4), 90 * 257, dtype=np.uint16))
    else:
        image = Image.new("RGB", (4, 4), (level,) * 3)
        image = image.quantize() if mode == "P" else image.convert(mode)
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    found = ImageDecoder(4).pixels(content(image, kind))
    np.testing.assert_allclose(found, level, atol=2)


def test_what_is_transparent_lies_on_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (ImageDecoder(4).pixels(content(image)) == 255).all()
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    np.testing.assert_allclose(ImageDecoder(4).pixels(content(half)), 127, atol=1)


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    file = content(halves(8, 8), exif=exif)
    found = ImageDecoder(8, resample="nearest").pixels(file)
    np.testing.assert_array_equal(found[:, 0, 0], RED)
    np.testing.assert_array_equal(found[:, 0, 7], RED)
    np.testing.assert_array_equal(found[:, 7, 0], BLUE)


def test_of_a_moving_picture_the_first_frame_counts():
    first, second = Image.new("RGB", (4, 4), GREY), Image.new("RGB", (4, 4), RED)
    file = content(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_allclose(ImageDecoder(4).pixels(file)[:, 0, 0], GREY, atol=2)


def bomb(tmp_path):
    file = tmp_path / "bomb.png"
    file.write_bytes(content(Image.new("1", (20_000, 20_000))))
    return file


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p / "none.png", "missing"),
        (lambda p: p, "denied"),
        (lambda p: written(p, b""), "empty"),
        (lambda p: written(p, b"just a text"), "wrong kind"),
        (lambda p: written(p, content(halves(64, 64))[:-40]), "truncated"),
        (lambda p: written(p, content(halves(64, 64), "JPEG")[:200]), "truncated"),
        (lambda p: written(p, content(Image.new("F", (2, 2)), "TIFF")), "wrong kind"),
        (bomb, "too large"),
    ],
)
def test_what_cannot_be_decoded_says_why(tmp_path, make, reason):
    with pytest.raises(UnreadableError, match=reason):
        ImageDecoder(8).decode(str(make(tmp_path)))


def written(folder, content):
    (folder / "file").write_bytes(content)
    return folder / "file"


def test_a_file_that_is_not_what_was_prepared_is_told(tmp_path):
    import hashlib

    path = written(tmp_path, content(halves()))
    good = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    assert ImageDecoder(4).decode(str(Source(str(path), good))).shape == (3, 4, 4)
    with pytest.raises(UnreadableError, match="changed"):
        ImageDecoder(4).decode(str(Source(str(path), "00ff")))


def test_wrong_settings_are_one_sentence():
    with pytest.raises(SettingError, match="at least 1; got 0 x 0"):
        ImageDecoder(0)
    with pytest.raises(UnknownNameError, match="'crop'"):
        ImageDecoder(4, fit="crp")
    with pytest.raises(UnknownNameError, match="'bilinear'"):
        ImageDecoder(4, resample="biliner")


def test_the_processor_of_transformers_sees_the_same():
    transformers = pytest.importorskip("transformers")
    from amodal.embed.backbone import image_reader

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    processor = transformers.ViTImageProcessorPil(size={"height": 24, "width": 24})
    theirs = np.asarray(processor(image)["pixel_values"][0])
    decoder, mean, std = image_reader({"reader": processor.to_dict()})
    ours = decoder.pixels(content(image)) / 255
    ours = (ours - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
