"""The picture of the guide shows what the monitor says today."""

from __future__ import annotations

from benchmarks.guide_picture import PICTURE, picture


def test_the_committed_picture_is_the_one_that_is_drawn() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "python -m benchmarks.guide_picture"
