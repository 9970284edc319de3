"""`sdpose explain` as a person types it: pages, JSON, exit codes, and mistakes told in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from sdpose.cli.main import main
from sdpose.data.synthetic import make_dataset
from sdpose.explain import RESULT_FILE, Explanation

sys.path += [str(Path(__file__).resolve().parent.parent / name) for name in ("run", "explain")]

from planted_faults import tiny_config, train

# The lowest value of the maps rises from -0.42 to -0.30 in eight iterations, whatever the batch.
BREAKS = "return 1e-3 * torch.sqrt(-0.36 - heatmaps.detach().min())"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that broke at iteration 6, in `work`."""
    folder = tmp_path_factory.mktemp("broken")
    people = folder / "set"
    make_dataset(
        people, num_train_images=24, num_val_images=8, image_size_wh=(128, 128), seed=3, num_workers=0
    )
    torch.set_num_threads(1)
    assert train(tiny_config(folder, people, own_loss=BREAKS)) == 1
    return folder


def test_a_page_tells_the_verdict_and_leaves_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["explain", str(folder / "work"), "--lang", "en", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "non_finite at iteration 6: loss_own was NaN"
    assert lines[2].startswith("STATE: ")
    path = folder / "work" / "incidents" / "iter_6" / RESULT_FILE
    assert lines[-1] == f"written to {path}"
    assert Explanation.from_json(path.read_text()).cause == "state"
    # It runs code of the user's, and says so, beside the page.
    assert "running the user's code" in shown.err


def test_a_program_gets_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["explain", str(folder / "work" / "incidents" / "iter_6"), "--json", "--lang", "ko"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["cause"], shown["onset"], shown["language"]) == ("state", 6, "ko")
    assert any("가" <= letter <= "힣" for letter in shown["verdict"])


def test_an_iteration_without_a_fault_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = folder / "tiny.py"
    checkpoint = folder / "work" / "epoch_1.pth"
    words = ["explain", str(checkpoint), "--iteration", "5", "--config", str(config), "--lang", "en"]
    capsys.readouterr()
    assert main(words) == 1
    assert "NOT REPRODUCED: Nothing is wrong in iterations 5 to 5" in capsys.readouterr().out


MISTAKES = {
    "nothing there": (["nowhere"], "nowhere does not exist"),
    "no run": (["set"], "is it the work dir of a run?"),
    "no iteration": (["work/epoch_1.pth", "--config", "tiny.py"], "add --iteration N (above 4)"),
    "too early": (
        ["work/epoch_1.pth", "--iteration", "4", "--config", "tiny.py"],
        "stands after iteration 4",
    ),
    "before all": (["work", "--iteration", "3"], "no checkpoint from before iteration 3"),
    "not an incident": (["work/incidents/iter_6/before.pth"], "names own code"),
    "own code of a stranger": (["work/epoch_1.pth", "--iteration", "6"], "give the config with --config"),
    "another data root": (["work", "--data-root", "/nowhere"], "/nowhere"),
}


@pytest.mark.parametrize(("words", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert main(["explain", *words]) == 2
    shown = capsys.readouterr()
    assert named in shown.err
    assert shown.err.count("sdpose: error: ") == 1
    assert shown.out == ""


def test_an_incident_without_a_state_takes_the_checkpoint_before_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = folder / "work" / "incidents" / "iter_6" / "before.pth"
    content = before.read_bytes()
    before.unlink()
    try:
        capsys.readouterr()
        assert main(["explain", str(folder / "work"), "--lang", "en"]) == 0
        assert "epoch_1.pth, on cpu" in capsys.readouterr().out
    finally:
        before.write_bytes(content)
