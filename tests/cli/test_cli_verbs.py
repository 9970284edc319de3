"""Every verb explains itself, and the light ones answer without a training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sdpose import __version__
from sdpose.cli.main import main

VERBS = ("check", "train", "test", "diagnose", "config", "info", "data", "verify-resume", "demo")
PUBLISHED = (
    "sdpose_t_coco_256x192.py",
    "sdpose_s_v1_stemnet_coco_256x192.py",
    "sdpose_s_v2_stemnet_coco_256x192.py",
    "sdpose_b_hr32_coco_256x192.py",
)


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(capsys)
    for verb in VERBS:
        assert f"\n    {verb}" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    shown = help_of(capsys, verb)
    assert shown.startswith(f"usage: sdpose {verb}")
    assert "`sdpose " in shown


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['sdpose', '--help']\n"
        "from sdpose.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'cv2', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"sdpose {__version__}\n"


def test_no_verb_and_an_unknown_one_are_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["trane"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "VERB" in capsys.readouterr().err


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_printed_config_prints_the_same_again(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = repository / "configs/body/2d_kpt_sview_rgb_img/sdpose/coco" / name
    assert main(["config", str(path), "--data-root", "/data/coco"]) == 0
    shown = capsys.readouterr().out
    assert "/data/coco/annotations/person_keypoints_train2017.json" in shown
    again = tmp_path / name
    again.write_text(shown)
    assert main(["config", str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == shown.splitlines()[1:]


def test_a_reader_that_goes_away_is_no_error(repository: Path) -> None:
    command = f"{sys.executable} -m sdpose.cli.main config configs/demo/sdpose_demo.py | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}; echo ${{PIPESTATUS[0]}} >&2"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.split() in (["0"], ["141"])
    assert len(done.stdout.splitlines()) == 1
