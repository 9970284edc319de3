"""`sdpose train CONFIG --set FILE`: a queue of variations that goes on where it was, however it was stopped."""

from __future__ import annotations

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
    last_iteration,
    one_error,
    type_in,
)

from sdpose.cli.main import main
from sdpose.sweep.plan import NOTE

# `usual` is what `straight` is: the tiny config with seed 1.
SET = "variations = dict(\n    broken={{'data.train.ann_file': {missing!r}}},\n    usual=dict(seed=1),\n)\n"
RESCUE_ALWAYS = ["--cfg-options", "runtime.rescue_minutes=1e-9"]  # a checkpoint after every iteration


def write_set(folder: Path, text: str = "") -> None:
    """`rates.py`; without a text two variations, of which the first must fail."""
    text = text or SET.format(missing=str(folder / "no.json"))
    (folder / "rates.py").write_text(text, encoding="utf-8")


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


def queue_until(config: Path, *words: str, iteration: int, all_of_it: bool) -> int:
    """The command, killed when the log of `usual` shows `iteration`: its whole session or the queue alone."""
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
        while process.poll() is None and last_iteration(config.parent / "set" / "usual") < iteration:
            assert time.monotonic() < deadline, f"iteration {iteration} was never logged"
            time.sleep(0.002)
        (os.killpg if all_of_it else os.kill)(process.pid, signal.SIGKILL)
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


def test_killed_and_failed_it_goes_on_and_ends_as_if_it_never_was(
    config: Path, straight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(config.parent)
    folder = config.parent / "set"
    assert states(config, capsys)["usual"] == ["new", "start", "seed=1"]
    # As when the machine loses its power; `broken` has failed by then and the queue went on.
    code = queue_until(config, *RESCUE_ALWAYS, iteration=3, all_of_it=True)
    assert code == -signal.SIGKILL
    assert not (folder / "usual" / "epoch_1.pth").exists()
    found = states(config, capsys)
    assert found["broken"][:2] == ["failed", "stay (--retry-failed)"]
    assert found["usual"][:2] == ["interrupted", "go on in epoch 1"]
    assert states(config, capsys, "--retry-failed")["broken"][:2] == ["failed", "be tried again"]
    # The queue alone: its training saves and ends, and the next queue, started at once, waits for that.
    code = queue_until(config, iteration=5, all_of_it=False)
    assert code == -signal.SIGKILL
    ended = queue(config)
    assert ended.code == 1, ended
    assert "[1/1] usual goes on: seed=1" in ended.out
    reason = f"the annotation file {config.parent / 'no.json'} does not exist"
    assert f"\nbroken FAILED: {reason}" in ended.out
    assert "Traceback" not in ended.out + ended.err
    logs = sorted((folder / "usual").glob("2*.log"))
    assert "stopped by SIGTERM; everything is saved" in logs[1].read_text(encoding="utf-8")
    assert differences(straight, folder / "usual") == []
    # Nothing is trained again without being asked for.
    assert main(queue_words(config)[1:]) == 1
    out = capsys.readouterr().out
    assert "starts" not in out and "goes on" not in out
    assert main(["runs", str(config.parent)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["set/usual", "finished", "2/2"]
    # What never trained may be mended, what did may not be changed, and more may come.
    write_set(config.parent, "variations = dict(broken=dict(seed=2), usual=dict(seed=1), more=dict())")
    assert {name: row[0] for name, row in states(config, capsys).items()} == {
        "broken": "new",
        "usual": "finished",
        "more": "new",
    }
    assert states(config, capsys, "--cfg-options", "data.workers_per_gpu=2")["usual"][0] == "finished"
    write_set(config.parent, "variations = dict(\n    usual={'seed': 1, 'optimizer.lr': 0.5})")
    assert main(queue_words(config)[1:]) == 2
    error = capsys.readouterr().err.replace(f"{config.parent}/", "")
    assert error.startswith(
        "sdpose: error: rates.py:2: usual: was started in set/usual with other settings: optimizer.lr was 0.001, is "
        "0.5. Put them back, or give the changed variation another name, or move the folder away to train it anew."
    )


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
