"""Runs read from their folders, with the commands people type: the list of all, and several side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import one_error, python, type_in, write_config


def sdpose(*words: object) -> tuple[str, str]:
    """`sdpose WORDS` on a wide terminal; what it printed and its errors."""
    ended = type_in("sdpose", *words, COLUMNS="200")
    assert ended.code == 0, ended
    return ended.out, ended.err


@pytest.fixture(scope="module")
def work_dirs(tmp_path_factory: pytest.TempPathFactory, people: Path, straight: Path) -> Path:
    """Two runs that differ in the learning rate alone: `usual` and `timid`."""
    folder = tmp_path_factory.mktemp("compared") / "work_dirs"
    shutil.copytree(straight, folder / "usual", symlinks=True)
    config = write_config(folder.parent, people)
    words = ["--seed", "1", "--work-dir", folder / "timid", "--cfg-options", "optimizer.lr=2e-6"]
    ended = python("tools/train.py", config, *words)
    assert ended.code == 0, ended
    return folder


def test_runs_are_listed_with_state_and_best_ap(work_dirs: Path) -> None:
    out, _ = sdpose("runs", work_dirs)
    lines = [line.split() for line in out.splitlines()]
    head = "run state epoch best AP at last AP alarms s/iter hours"
    assert lines[0] == head.split()
    assert [line[:3] for line in lines[1:]] == [["timid", "finished", "2/2"], ["usual", "finished", "2/2"]]


def test_runs_as_json_agree_with_the_log(work_dirs: Path) -> None:
    runs = {Path(run["path"]).name: run for run in json.loads(sdpose("runs", work_dirs, "--json")[0])}
    (log,) = (work_dirs / "usual").glob("*.log.json")
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()[1:]]
    scores = [entry["AP"] for entry in entries if entry["mode"] == "val"]
    losses = [entry["loss"] for entry in entries if entry["mode"] == "train"]
    usual = runs["usual"]
    assert (usual["state"], usual["epoch"], usual["iteration"]) == ("finished", 2, 8)
    assert (usual["best_ap"], usual["last_ap"], usual["last_loss"]) == (max(scores), scores[-1], losses[-1])
    assert runs["timid"]["last_loss"] != usual["last_loss"]


def test_compare_names_what_differs_in_the_configs_and_nothing_else(work_dirs: Path) -> None:
    out, _ = sdpose("compare", work_dirs / "usual", work_dirs / "timid")
    config = out[out.index("config") :].strip().splitlines()
    assert [line.split() for line in config[1:]] == [["optimizer.lr", "0.001", "2e-06"]]


def test_compare_says_whether_ap_differs_beyond_noise(work_dirs: Path, tmp_path: Path) -> None:
    same = tmp_path / "again"
    shutil.copytree(work_dirs / "usual", same, symlinks=True)
    out, _ = sdpose("compare", work_dirs / "usual", same)
    assert "no difference shown: 0.000 [0.000, 0.000]" in out
    assert "the configs are the same" in out


def test_one_run_alone_is_refused(work_dirs: Path) -> None:
    error = one_error(type_in("sdpose", "compare", work_dirs / "usual"))
    assert error == "compare needs at least two runs: sdpose compare RUN RUN ...\n"


@pytest.mark.parametrize("verb", ["compare", "runs"])
def test_a_folder_without_a_run_is_refused(verb: str, work_dirs: Path, tmp_path: Path) -> None:
    runs = [work_dirs / "usual"] if verb == "compare" else []
    error = one_error(type_in("sdpose", verb, *runs, tmp_path))
    assert str(tmp_path) in error
    assert "log.json" in error


def test_a_damaged_evaluation_is_said_and_the_rest_compared(work_dirs: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(work_dirs / "timid", damaged, symlinks=True)
    for path in (damaged / "evaluations").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    out, _ = sdpose("compare", work_dirs / "usual", damaged)
    assert "or damaged" in " ".join(out.split())
    assert "optimizer.lr" in out
