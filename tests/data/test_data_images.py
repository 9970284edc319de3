"""Reading photographs, whole and broken."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from sdpose.data import images
from sdpose.data.images import ImageReader, decode

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def jpeg(picture: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def with_orientation(content: bytes, orientation: int) -> bytes:
    """`content` with an EXIF block that holds nothing but the orientation tag."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0" + tiff
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def test_a_whole_image_comes_in_bgr(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes())
    image, problem = decode(str(path), (40, 30))
    assert problem is None
    np.testing.assert_array_equal(image, PICTURE)


def test_a_grey_image_comes_in_three_equal_channels(tmp_path: Path) -> None:
    path = tmp_path / "grey.jpg"
    path.write_bytes(jpeg(PICTURE[..., 0]))
    image, problem = decode(str(path), (40, 30))
    assert problem is None
    assert image is not None
    assert image.shape == (30, 40, 3)
    np.testing.assert_array_equal(image, image[..., :1].repeat(3, axis=2))


def test_the_orientation_tag_is_obeyed_as_by_mmcv(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_orientation(jpeg(), 6))
    image, problem = decode(str(path), (30, 40))
    assert problem is None
    np.testing.assert_array_equal(image, np.rot90(cv2.imdecode(np.frombuffer(jpeg(), np.uint8), 1), -1))
    image, problem = decode(str(path), (40, 30))
    assert image is None
    assert problem == (
        f"{path}: the image is 30x40 pixels, its annotation says 40x30 (its EXIF orientation may turn it: "
        "write the image upright and without the tag)"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "the file is missing"),
        (b"", "the file is empty"),
        (b"<html>not found</html>", "the image cannot be decoded (22 bytes; not an image, or cut short)"),
        (jpeg()[: len(jpeg()) // 2], "bytes; not an image, or cut short)"),
        (jpeg()[:-40], "bytes; not an image, or cut short)"),
        (jpeg(PICTURE[:20]), "the image is 40x20 pixels, its annotation says 40x30"),
    ],
    ids=["missing", "empty", "html", "half", "last bytes", "other size"],
)
def test_a_broken_image_is_described(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    image, said = decode(str(path), (40, 30))
    assert image is None
    assert said is not None
    assert said.startswith(f"{path}: the ")
    assert said.endswith(problem)


def test_a_folder_in_place_of_an_image_is_described(tmp_path: Path) -> None:
    assert decode(str(tmp_path), (40, 30)) == (None, f"{tmp_path}: the file cannot be read (Is a directory)")


def test_asking_again_for_the_same_image_decodes_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(tmp_path / f"{i}.jpg") for i in range(2)]
    for path in paths:
        Path(path).write_bytes(jpeg())
    decoded = []

    def counting(path: str, size_wh: tuple[int, int]) -> object:
        decoded.append(path)
        return decode(path, size_wh)

    monkeypatch.setattr(images, "decode", counting)
    reader = ImageReader(paths, np.array([[40, 30], [40, 30]], np.int32))
    results = [reader.read(row) for row in (0, 0, 1, 1, 0)]
    assert decoded == [paths[0], paths[1], paths[0]]
    assert results[0][0] is results[1][0]
    assert all(problem is None for _, problem in results)
