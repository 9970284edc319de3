"""`sdpose info`: the figures of a model beside the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdpose.cli.main import main

CONFIG = "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_t_coco_256x192.py"


def info(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What is printed on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["info", *arguments]) == 0
    return capsys.readouterr().out


def row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.strip().startswith(name))


@pytest.mark.parametrize(
    ("name", "total", "published"),
    [
        ("sdpose_t", "4,447,680 4,398,528 1.799 1.951 3.052 3.544", "SDPose-T: 4.4 M parameters, 1.8 GFLOPs"),
        (
            "sdpose_b",
            "13,195,136 13,145,984 5.164 5.471 6.396 7.043",
            "SDPose-B: 13.2 M parameters, 5.2 GFLOPs",
        ),
    ],
)
def test_a_model_by_name(
    name: str,
    total: str,
    published: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = info(capsys, monkeypatch, name)
    assert row(output, "total") == ["total", *total.split()]
    assert published in output
    assert "'Params ~9M, GFLOPs ~4.5' for S-V1 do not match" in output


def test_a_config_gives_its_model(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = info(capsys, monkeypatch, "sdpose_t")
    assert info(capsys, monkeypatch, str(repository / CONFIG)) == by_name


def test_all_published_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output = info(capsys, monkeypatch)
    assert row(output, "sdpose_s_v1") == [
        "sdpose_s_v1",
        "6,620,736",
        "6.6",
        "2.404",
        "2.4",
        "2.726",
        "3.635",
        "4.298",
    ]
    assert row(output, "sdpose_s_v2") == [
        "sdpose_s_v2",
        "6,227,520",
        "6.2",
        "4.674",
        "4.7",
        "7.487",
        "8.175",
        "13.821",
    ]


def test_neither_model_nor_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "sdpose_s_v3"]) == 2
    assert "'sdpose_s_v3' is neither a model nor a file" in capsys.readouterr().err
