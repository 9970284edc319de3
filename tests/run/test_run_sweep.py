"""`sdpose train CONFIG --set FILE`: a queue of variations that goes on where it was, however it was stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tiny_runs import (
    PATIENCE_S,
    REPOSITORY,
    Ended,
    differences,
    environment,
    json_log,
    last_iteration,
    one_error,
    type_in,
)

from sdpose.cli.main import main
from sdpose.sweep.plan import NOTE

# `usual` is what `straight` is: the tiny config with seed 1.
SET = "variations = dict(\n    timid={'optimizer.lr': 2e-6, 'total_epochs': 1},\n    usual=dict(seed=1),\n)\n"
RESCUE_ALWAYS = ["--cfg-options", "runtime.rescue_minutes=1e-9"]  # a checkpoint after every iteration
SHORT = ["--no-validate", "--cfg-options", "total_epochs=1", "runtime.limit_train_batches=1"]


def write_set(folder: Path, text: str = SET) -> Path:
    path = folder / "rates.py"
    path.write_text(text, encoding="utf-8")
    return path


def queue(config: Path, *words: object, **variables: str) -> Ended:
    """The whole command, to its end."""
    return type_in(*queue_words(config), *words, **variables)


def queue_words(config: Path) -> list[str]:
    folder = config.parent
    return [
        "sdpose",
        "train",
        *map(str, [config, "--set", folder / "rates.py", "--work-dir", folder / "set"]),
    ]


def queue_until(config: Path, *words: str, name: str, iteration: int, number: int, all_of_it: bool) -> int:
    """The command, sent a signal when a variation's log shows `iteration`: to the whole session or the queue alone."""
    process = subprocess.Popen(
        [*queue_words(config), *words],
        cwd=REPOSITORY,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    try:
        while process.poll() is None and last_iteration(config.parent / "set" / name) < iteration:
            assert time.monotonic() < deadline, f"iteration {iteration} was never logged"
            time.sleep(0.002)
        (os.killpg if all_of_it else os.kill)(process.pid, number)
        return process.wait(timeout=PATIENCE_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def states(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[str]]:
    """Variation -> what `--dry-run` says of it."""
    capsys.readouterr()
    assert main([*queue_words(config)[1:], "--dry-run", *words]) == 0
    rows = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows if len(row) > 2}


def test_stopped_and_killed_it_goes_on_and_ends_as_if_it_never_was(
    config: Path, straight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent)
    folder = config.parent / "set"
    assert states(config, capsys)["timid"] == ["new", "start", "optimizer.lr=2e-06 total_epochs=1"]
    ended = queue_until(
        config, *RESCUE_ALWAYS, name="timid", iteration=2, number=signal.SIGINT, all_of_it=True
    )
    assert ended == 130
    assert list((folder / "timid").glob("iter_*.pth")), "Ctrl-C saves"
    assert not (folder / "usual").exists()
    assert states(config, capsys)["timid"][:2] == ["interrupted", "go on in epoch 1"]
    ended = queue_until(
        config, *RESCUE_ALWAYS, name="usual", iteration=6, number=signal.SIGKILL, all_of_it=True
    )
    assert ended == -signal.SIGKILL
    assert not (folder / "usual" / "epoch_2.pth").exists()
    assert {name: row[:2] for name, row in states(config, capsys).items()} == {
        "timid": ["finished", "stay"],
        "usual": ["interrupted", "go on in epoch 2"],
    }
    ended = queue(config)
    assert ended.code == 0, ended
    assert "[1/1] usual goes on: seed=1" in ended.out
    assert differences(straight, folder / "usual") == []
    iterations = [(entry["epoch"], entry["iter"]) for entry in json_log(folder / "timid")]
    assert max(iterations) == (1, 4)
    again = queue(config)
    assert again.code == 0, again
    assert "goes on" not in again.out and "starts" not in again.out
    assert re.search(r"^ +optimizer.lr +2e-06 +0.001", again.out, re.MULTILINE) or "optimizer.lr" in again.out
    listed = type_in("sdpose", "runs", config.parent, COLUMNS="200").out
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        ["set/timid", "finished", "1/1"],
        ["set/usual", "finished", "2/2"],
    ]


def test_a_killed_queue_takes_its_training_along_saved(config: Path, straight: Path) -> None:
    write_set(config.parent, "variations = dict(usual=dict(seed=1))")
    ended = queue_until(config, name="usual", iteration=1, number=signal.SIGKILL, all_of_it=False)
    assert ended == -signal.SIGKILL
    # At once: the training may still be saving, and the new queue waits for it.
    ended = queue(config)
    assert ended.code == 0, ended
    log = "".join(path.read_text() for path in sorted((config.parent / "set" / "usual").glob("2*.log")))
    assert "stopped by SIGTERM; everything is saved" in log
    assert differences(straight, config.parent / "set" / "usual") == []


def test_a_failed_one_is_told_and_the_queue_goes_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.dumps(str(config.parent / "annotations.json"))
    broken = f"{{'data.train.ann_file': {data}}}"
    write_set(config.parent, f"variations = dict(broken={broken}, good=dict())")
    ended = queue(config, *SHORT)
    assert ended.code == 1, ended
    reason = f"annotation file {config.parent / 'annotations.json'} does not exist"
    assert f"[1/2] broken FAILED: {reason}" in ended.out
    assert f"\nbroken FAILED: {reason}" in ended.out
    assert "--retry-failed" in ended.out
    assert "[2/2] good starts: as it is" in ended.out
    assert states(config, capsys, *SHORT)["broken"][:2] == ["failed", "stay (--retry-failed)"]
    assert states(config, capsys, "--retry-failed", *SHORT)["broken"][:2] == ["failed", "be tried again"]
    # Nothing is trained again without being asked for.
    assert main([*queue_words(config)[1:], *SHORT]) == 1
    assert "starts" not in capsys.readouterr().out
    # Nothing was trained yet, so mending the set is no change.
    write_set(config.parent, "variations = dict(broken=dict(seed=2), good=dict())")
    assert states(config, capsys, *SHORT)["broken"][:2] == ["new", "start"]
    # A finished one is not to be changed, and more may come.
    write_set(config.parent, "variations = dict(\n    good={'optimizer.lr': 0.5},\n    more=dict())")
    assert main([*queue_words(config)[1:], *SHORT]) == 2
    error = capsys.readouterr().err
    assert f"rates.py:2: good: was started in {config.parent / 'set' / 'good'} with other settings" in error
    assert (
        "optimizer.lr was 0.001, is 0.5. Put them back, or give the changed variation another name" in error
    )
    write_set(config.parent, "variations = dict(good=dict(), more=dict())")
    found = states(config, capsys, *SHORT)
    assert [found["good"][0], found["more"][0]] == ["finished", "new"]


def test_a_second_queue_in_the_same_folder_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl

    write_set(config.parent)
    folder = config.parent / "set"
    folder.mkdir()
    with (folder / ".queue.lock").open("w") as held:
        held.write(f"{os.getpid()}\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(queue_words(config)[1:]) == 2
    assert (
        f"another queue works in {folder} (process {os.getpid()}); let it finish" in capsys.readouterr().err
    )
    assert not (folder / "timid").exists()


@pytest.mark.parametrize(
    ("text", "words", "lines"),
    [
        (
            "grid = {\n    'optimizer.lrr': [1, 2],\n    'data.samples_per_gpu': [8, 'x'],\n}",
            [],
            [
                "rates.py:2: optimizer.lrr: unknown key. Did you mean 'lr'?",
                "rates.py:3: data.samples_per_gpu: got 'x', expected an integer.",
            ],
        ),
        (
            "grid = dict(seed=[1, 2])",
            ["--seed", "3"],
            ["rates.py:1: the set varies seed and the command gives --seed;"],
        ),
        (
            "grid = {'optimizer.lr': [1e-3]}",
            ["--cfg-options", "optimizer.lr=2"],
            ["rates.py:1: the set changes optimizer.lr and the command gives --cfg-options optimizer.lr;"],
        ),
        (
            "grid = dict(seed=[1, 2])",
            ["--cfg-options", "checkpoint_config.out_dir=x"],
            [
                "tiny.py: checkpoint_config.out_dir is x, where several variations would write over each other;"
            ],
        ),
        (
            "grid = dict(seed=[1, 2])",
            ["--cfg-options", "resume_from=x.pth"],
            ["tiny.py: resume_from is set, and every"],
        ),
        (
            "grid = dict(seed=[1])",
            ["--resume-from", "auto"],
            ["--resume-from is for one run; with --set what was"],
        ),
        (
            "grid = dict(seed=[1])",
            ["--launcher", "pytorch"],
            ["--set starts the processes of each variation itself"],
        ),
        ("grid = dict(config=['no.py'])", [], ["no.py: there is no such config file."]),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    config: Path, text: str, words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent, text)
    assert main([*queue_words(config)[1:], *words]) == 2
    said = (
        capsys.readouterr().err.removeprefix("sdpose: error: ").replace(f"{config.parent}/", "").splitlines()
    )
    assert [said_line[: len(line)] for said_line, line in zip(said, lines, strict=True)] == lines
    assert not (config.parent / "set").exists()


def test_a_folder_with_another_run_is_not_taken(
    config: Path, straight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent)
    (config.parent / "set").mkdir()
    (config.parent / "set" / "usual").symlink_to(straight)
    assert main(queue_words(config)[1:]) == 2
    assert "holds a run that this set did not start; move it away" in capsys.readouterr().err
    assert not (straight / NOTE).exists()


def test_options_of_a_set_need_one(config: Path) -> None:
    error = one_error(type_in("sdpose", "train", config, "--dry-run"))
    assert error.startswith("--dry-run belongs to --set FILE")


def test_two_processes_train_each_variation(config: Path) -> None:
    write_set(config.parent, "variations = dict(pair=dict(seed=1))")
    ended = queue(config, "--gpus", "2", "--device", "cpu", *SHORT)
    assert ended.code == 0, ended
    assert "2 processes" in ended.out
    assert json.loads((config.parent / "set" / "pair" / NOTE).read_text())["settings"]["--gpus"] == "2"
