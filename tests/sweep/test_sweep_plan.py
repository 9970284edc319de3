"""Where each variation stands is told by its folder alone; what cannot be is told before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdpose.errors import SdposeError
from sdpose.sweep.plan import NOTE, Common, Planned, left_over, plan, write_note


@pytest.fixture
def demo(repository: Path) -> Path:
    return repository / "configs/demo/sdpose_demo.py"


def planned(
    tmp_path: Path, config: Path, text: str = "variations = dict(a=dict())", **common: Any
) -> tuple[Planned, ...]:
    set_file = tmp_path / "set.py"
    set_file.write_text(text, encoding="utf-8")
    return plan(set_file, config, tmp_path / "set", Common(**common))


def mistakes(*arguments: Any, **common: Any) -> list[str]:
    with pytest.raises(SdposeError) as caught:
        planned(*arguments, **common)
    return str(caught.value).splitlines()


def started(tmp_path: Path, config: Path, ending: dict[str, object] | None = None, **common: Any) -> Planned:
    """The variation `a` with its note and a checkpoint, as a queue leaves them."""
    (each,) = planned(tmp_path, config, **common)
    write_note(each, ["sdpose", "train"], ending)
    (each.folder / "epoch_1.pth").write_bytes(b"")
    return each


def test_nothing_was_begun(tmp_path: Path, demo: Path) -> None:
    (each,) = planned(tmp_path, demo)
    assert (each.name, each.state, each.has_checkpoints) == ("a", "new", False)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("ending", "state", "why"),
    [
        (None, "interrupted", ""),
        ({"code": 130, "why": ""}, "interrupted", ""),
        ({"code": 143, "why": ""}, "interrupted", ""),
        ({"code": 1, "why": "the loss is NaN"}, "failed", "the loss is NaN"),
    ],
)
def test_the_note_says_how_it_ended(
    tmp_path: Path, demo: Path, ending: dict[str, object] | None, state: str, why: str
) -> None:
    started(tmp_path, demo, ending)
    (each,) = planned(tmp_path, demo)
    assert (each.state, each.why, each.has_checkpoints) == (state, why, True)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("optimizer.lr=0.5", "optimizer.lr was"),
        # What a machine can do and where things go is no other training.
        ("data.workers_per_gpu=0", None),
        ("log_config.interval=7", None),
        ("runtime.rescue_minutes=3", None),
        ("runtime.precision=fp32", "runtime.precision was not set, is 'fp32'"),
    ],
)
def test_what_was_trained_with_other_settings_is_refused(
    tmp_path: Path, demo: Path, option: str, told: str | None
) -> None:
    started(tmp_path, demo)
    if told is None:
        assert planned(tmp_path, demo, cfg_options=(option,))[0].state == "interrupted"
    else:
        (line,) = mistakes(tmp_path, demo, cfg_options=(option,))
        assert told in line
        assert "give the changed variation another name" in line


def test_settings_may_change_while_nothing_was_trained(tmp_path: Path, demo: Path) -> None:
    started(tmp_path, demo)
    (tmp_path / "set/a/epoch_1.pth").unlink()
    assert planned(tmp_path, demo, cfg_options=("optimizer.lr=0.5",))[0].state == "new"


def test_a_run_that_the_set_did_not_start_is_left_alone(tmp_path: Path, demo: Path) -> None:
    started(tmp_path, demo)
    (tmp_path / "set/a" / NOTE).unlink()
    (line,) = mistakes(tmp_path, demo)
    assert "holds a run that this set did not start" in line


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"settings": 3})])
def test_a_note_of_somebody_else_is_refused(tmp_path: Path, demo: Path, text: str) -> None:
    started(tmp_path, demo)
    (tmp_path / "set/a" / NOTE).write_text(text)
    (line,) = mistakes(tmp_path, demo)
    assert "move the folder away to train anew" in line


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ("optimizer.lr", "optimizer.lr=0.1"),
        # One is a part of the other.
        ("optimizer.lr", "optimizer=None"),
        ("data.train.pack", "data.train.pack=x"),
    ],
)
def test_an_option_that_undoes_a_variation_is_refused(
    tmp_path: Path, demo: Path, changed: str, option: str
) -> None:
    value = "'x'" if "pack" in changed else "0.01"
    lines = mistakes(tmp_path, demo, f"variations = dict(a={{'{changed}': {value}}})", cfg_options=(option,))
    key = option.partition("=")[0]
    assert any(
        f"the set changes {changed} and the command gives --cfg-options {key}; leave one" in line
        for line in lines
    )


def test_a_seed_of_the_command_line_would_undo_varied_seeds(tmp_path: Path, demo: Path) -> None:
    (line,) = mistakes(tmp_path, demo, "grid = dict(seed=[1, 2])", training={"seed": "3"})[:1]
    assert "the set varies seed and the command gives --seed" in line


def test_variations_share_neither_a_checkpoint_nor_a_folder(tmp_path: Path, demo: Path) -> None:
    both = "variations = dict(a={'seed': 1}, b={'seed': 2})"
    (line,) = mistakes(tmp_path, demo, both, cfg_options=("resume_from=epoch_1.pth",))
    assert "every variation would go on from there" in line
    (line,) = mistakes(tmp_path, demo, both, cfg_options=("checkpoint_config.out_dir=x",))
    assert "checkpoint_config.out_dir is x, where several variations would write over each other" in line


def test_what_the_set_no_longer_has_is_named(tmp_path: Path, demo: Path) -> None:
    started(tmp_path, demo)
    others = planned(tmp_path, demo, "variations = dict(b=dict())")
    assert left_over(tmp_path / "set", others) == ["a"]
