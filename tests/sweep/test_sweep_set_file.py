"""The file of a set: what it gives, and every mistake with its line and cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdpose.config.overrides import option_text, parse_overrides
from sdpose.errors import SdposeError
from sdpose.sweep.set_file import read_set


def changes(tmp_path: Path, text: str) -> dict[str, dict[str, Any]]:
    """Name -> changes of every variation."""
    path = tmp_path / "set.py"
    path.write_text(text, encoding="utf-8")
    return {each.name: dict(each.changes) for each in read_set(path, tmp_path / "config.py")}


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """All lines, with the folder of the file left out."""
    with pytest.raises(SdposeError) as caught:
        changes(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_a_variation_is_a_dict_of_changes_nested_or_dotted(tmp_path: Path) -> None:
    text = "variations = dict(usual=dict(), timid={'optimizer.lr': 5e-4}, small=dict(data=dict(samples_per_gpu=8)))"
    assert changes(tmp_path, text) == {
        "usual": {},
        "timid": {"optimizer.lr": 5e-4},
        "small": {"data.samples_per_gpu": 8},
    }


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    assert changes(tmp_path, "grid = {'optimizer.lr': [1e-3, 5e-4], 'seed': [1, 2]}") == {
        "lr=0.001-seed=1": {"optimizer.lr": 1e-3, "seed": 1},
        "lr=0.001-seed=2": {"optimizer.lr": 1e-3, "seed": 2},
        "lr=0.0005-seed=1": {"optimizer.lr": 5e-4, "seed": 1},
        "lr=0.0005-seed=2": {"optimizer.lr": 5e-4, "seed": 2},
    }


def test_variations_are_crossed_with_the_grid(tmp_path: Path) -> None:
    found = changes(
        tmp_path, "variations = dict(a=dict(), b={'optimizer.lr': 1e-3})\ngrid = dict(seed=[1, 2])"
    )
    assert list(found) == ["a-seed=1", "a-seed=2", "b-seed=1", "b-seed=2"]
    assert found["b-seed=2"] == {"optimizer.lr": 1e-3, "seed": 2}


def test_axes_with_the_same_last_word_are_named_in_full(tmp_path: Path) -> None:
    assert list(changes(tmp_path, "grid = {'a.x': [1], 'b.x': [2], 'c.y': [True]}")) == ["a.x=1-b.x=2-y=True"]


def test_names_of_values_are_fit_for_a_folder(tmp_path: Path) -> None:
    text = "grid = {'a.path': ['x/y z'], 'step': [[1, 2]], 'none': [None], 'config': ['other/small.py']}"
    assert list(changes(tmp_path, text)) == ["path=x_y_z-step=1_2-none=None-small"]


def test_another_config_is_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "set.py"
    path.write_text("variations = dict(a=dict(), b=dict(config='other.py', seed=1))", encoding="utf-8")
    a, b = read_set(path, Path("config.py"))
    assert (a.config, b.config, dict(b.changes)) == (Path("config.py"), tmp_path / "other.py", {"seed": 1})


def test_the_example_of_the_page_reads(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    found = changes(tmp_path, page.split("```python\n")[1].split("```")[0])
    assert list(found)[::3] == ["usual-seed=1", "timid-seed=1", "small-seed=1"]
    assert found["small-seed=3"] == {"data.samples_per_gpu": 32, "optimizer.lr": 2.5e-4, "seed": 3}


def test_helper_names_are_allowed(tmp_path: Path) -> None:
    assert list(changes(tmp_path, "rates = [1e-3, 5e-4]\ngrid = {'optimizer.lr': rates}")) == [
        "lr=0.001",
        "lr=0.0005",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            "set.py: names no variations; write variations = dict(usual=dict(), timid={'optimizer.lr': 5e-4}), or ",
        ),
        (
            "\nvariation = dict(a=dict())",
            "set.py:2: variation: unknown key. Did you mean 'variations'? A set has ",
        ),
        ("variations = dict()", "set.py:1: variations: got {}, expected a dict as in variations = dict("),
        ("variations = ['a']", "set.py:1: variations: got ['a'], expected a dict as in variations = dict("),
        (
            "variations = dict(a=1)",
            "set.py:1: variations.a: got 1, expected a dict of what it changes, as in ",
        ),
        ("grid = dict(seed=1)", "set.py:1: grid: seed: got 1, expected a list of values."),
        ("grid = dict(seed=[])", "set.py:1: grid: seed: got [], expected a list of values."),
        ("grid = 3", "set.py:1: grid: got 3, expected a dict as in {'seed': [1, 2, 3]}."),
        (
            "variations = {'a/b': dict()}",
            "set.py:1: 'a/b' cannot be the name of a folder; take up to 120 letters, ",
        ),
        ("variations = {'..': dict()}", "set.py:1: '..' cannot be the name of a folder; "),
        ("variations = {'previous_1': dict()}", "set.py:1: 'previous_1' cannot be the name of a folder; "),
        ("grid = dict(seed=[1, 1])", "set.py:1: two variations would be called seed=1; name them in "),
        (
            "variations = dict(\n    a=dict(seed=1))\ngrid = dict(seed=[1])",
            "set.py:2: seed is in `variations` and in `grid`; leave one.",
        ),
        (
            "variations = dict(a=dict(work_dir='x'))",
            "set.py:1: work_dir cannot be varied: each variation has its own ",
        ),
        (
            "variations = dict(a=dict(resume_from='auto'))",
            "set.py:1: resume_from cannot be varied: the queue ",
        ),
        (
            "variations = dict(a=dict(custom_hooks=[dict(type='X')]))",
            "set.py:1: custom_hooks: [{'type': 'X'}] cannot be said with --cfg-options; write a config with it and ",
        ),
        (
            "grid = dict(a=list(range(50)), b=list(range(50)))",
            "set.py: 2500 variations, at most 1000 can be queued.",
        ),
        (
            "variations = dict(a={'.lr': 1})",
            "set.py:1: '.lr' is no setting; write it as in {'optimizer.lr': 5e-4}.",
        ),
        ("[tool]\nx = 1", "set.py:1: "),
        ("import os", "set.py:1: a config may not contain an import. It is read as data and never run."),
    ],
)
def test_every_mistake_has_its_line_and_cure(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(expected)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "variations = dict(\n    a=dict(work_dir='x'),\n    b=dict(resume_from='y'),\n)"
    assert [line[:8] for line in mistakes(tmp_path, text)] == ["set.py:2", "set.py:3"]


@pytest.mark.parametrize(
    "value",
    [
        *(
            0,
            -3,
            1.5,
            1e-5,
            1e20,
            True,
            False,
            None,
            "",
            "text",
            "a.b/c_d",
            "x y",
            "1",
            "1e-3",
            "true",
            "None",
        ),
        *("a,b", "[x]", "(x", "it's", 'say "x"', " padded ", "step=3"),
        *([1, 2], [170, 200], (1, 2), [[1, 2], [3]], ["a", "b c"], [None, "None"], [1], ["x,y"]),
    ],
    ids=repr,
)
def test_what_can_be_said_on_a_command_line_comes_back_as_it_was(value: object) -> None:
    assert parse_overrides([f"a.b={option_text(value)}"]) == {"a.b": value}
