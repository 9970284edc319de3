"""Counting bad images."""

from __future__ import annotations

import pytest

from sdpose.data.loader import ProblemLog
from sdpose.errors import SdposeError


def test_each_bad_image_is_named_once() -> None:
    named: list[str] = []
    log = ProblemLog(1000, named.append)
    log.add([])
    log.add([None, None])
    log.add(["b.jpg: gone", "a.jpg: gone", "b.jpg: gone"])
    log.add(["a.jpg: gone"])
    assert named == ["b.jpg: gone", "a.jpg: gone"]
    assert log.problems == ("b.jpg: gone", "a.jpg: gone")


@pytest.mark.parametrize(
    ("num_images", "num_allowed"), [(1, 0), (99, 0), (100, 1), (195, 1), (200, 2), (1000, 10)]
)
def test_more_than_one_percent_ends_the_run(num_images: int, num_allowed: int) -> None:
    log = ProblemLog(num_images)
    log.add(f"{i}.jpg: gone" for i in range(num_allowed))
    with pytest.raises(
        SdposeError, match=rf"^{num_allowed + 1} of {num_images} images cannot be used, more than 1 %"
    ):
        log.add(["one.jpg: gone"])


def test_the_verdict_lists_the_images_and_the_cure() -> None:
    log = ProblemLog(100)
    with pytest.raises(SdposeError) as error:
        log.add(f"{i}.jpg: the file is missing" for i in range(23))
    lines = str(error.value).splitlines()
    assert lines[0] == (
        "23 of 100 images cannot be used, more than 1 % (each is counted when it is met, so there may be "
        "more); repair them or take them out of the annotation file:"
    )
    assert lines[1:21] == [f"  {i}.jpg: the file is missing" for i in range(20)]
    assert lines[21:] == ["  and 3 more"]
