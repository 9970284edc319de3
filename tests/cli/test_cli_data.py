"""`sdpose data synth` from its command line."""

import argparse
from pathlib import Path

import pytest

from sdpose.cli import data
from sdpose.errors import SdposeError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    return parser.parse_args(["data", "synth", *words])


def test_it_draws_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    words = ("--out", str(out), "--train", "3", "--val", "2", "--size", "128x96", "--workers", "0")
    for ending in ("drawn in", "was already there"):
        args = parse(*words)
        assert args.run(args) == 0
        said = capsys.readouterr().out
        assert "3 training images" in said
        assert "2 validation images" in said
        assert ending in said
        assert str(out / "preview.jpg") in said
    assert (out / "preview.jpg").stat().st_size > 0


@pytest.mark.parametrize("text", ["", "320", "320x", "320*240", "-1x5", "3.5x2"])
def test_a_size_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SdposeError, match="for example 320x240"):
        data.parse_size(text)


def test_a_size_is_width_then_height() -> None:
    assert data.parse_size("640x480") == (640, 480)
