"""The reader evaluates what a config may say, refuses the rest with file, line and reason, runs nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sdpose.config.places import find_place, plain
from sdpose.config.reader import read_config
from sdpose.errors import SdposeError


def read(folder: Path, text: str, name: str = "config.py", **options: Any) -> dict[str, Any]:
    path = folder / name
    path.write_text(text)
    return plain(read_config(path, **options).values)


ALLOWED = {
    "": {},
    "# nothing but a comment\n": {},
    '"""A docstring."""\npass\n': {},
    "\ufeffa = 1": {"a": 1},
    "a = 1\nb = a": {"a": 1, "b": 1},
    "a = None\nb = True": {"a": None, "b": True},
    "a: int = 3": {"a": 3},
    "a = b = 2": {"a": 2, "b": 2},
    "a, (b, c) = 1, [2, 3]": {"a": 1, "b": 2, "c": 3},
    "a = 1\na += 2": {"a": 3},
    "a = 'x'\na += 'y'": {"a": "xy"},
    "a = [1, 2,]": {"a": [1, 2]},
    "a = (4, )": {"a": (4,)},
    "a = [*range(3), 9]": {"a": [0, 1, 2, 9]},
    "a = {}": {"a": {}},
    "a = dict()": {"a": {}},
    "a = dict(x=1, y=dict(z=2),)": {"a": {"x": 1, "y": {"z": 2}}},
    "a = {0: 'nose', 'b': 1}": {"a": {0: "nose", "b": 1}},
    "a = dict(x=1)\nb = {**a, 'y': 2}": {"a": {"x": 1}, "b": {"x": 1, "y": 2}},
    "a = dict(x=1)\nb = dict(a, **dict(y=2))": {"a": {"x": 1}, "b": {"x": 1, "y": 2}},
    "a = dict([('x', 1)])": {"a": {"x": 1}},
    "a = dict(x=1)\nb = dict(a, x=2)": {"a": {"x": 1}, "b": {"x": 2}},
    "a = dict(x=1) | dict(y=2)": {"a": {"x": 1, "y": 2}},
    "a = dict(x=[5, 6])\nb = a['x'][-1]\nc = a.x": {"a": {"x": [5, 6]}, "b": 6, "c": [5, 6]},
    "a = [1, 2, 3][::2]": {"a": [1, 3]},
    "a = 1e-3 * 2 + 1 - 4 / 2 // 1 % 5": {"a": -0.998},
    "a = 2 ** 10": {"a": 1024},
    "a = 2 ** -1": {"a": 0.5},
    "a = -3\nb = ~a\nc = not a": {"a": -3, "b": 2, "c": False},
    "a = 1 << 4 | 1": {"a": 17},
    "a = [1] + [2] * 2": {"a": [1, 2, 2]},
    "a = 'x' 'y' + 'z'": {"a": "xyz"},
    "a = '-' * 3": {"a": "---"},
    "a = f'{1 + 1}/{\"x\"!r:>5}/{0.5:.2f}/{7:03d}'": {"a": "2/  'x'/0.50/007"},
    "w = 4\na = f'{1:{w}d}'": {"w": 4, "a": "   1"},
    "a = f'{[1, 2]}'": {"a": "[1, 2]"},
    "a = 3\nb = 'big' if a > 2 else 'small'": {"a": 3, "b": "big"},
    "a = 1 < 2 <= 2\nb = 1 > 2 > 0": {"a": True, "b": False},
    "a = 2 in [1, 2] and 'x' not in 'abc'\nb = 0 or 'y'": {"a": True, "b": "y"},
    "a = None is None\nb = 1 is not None": {"a": True, "b": True},
    "a = [list(range(14))]": {"a": [list(range(14))]},
    "a = range(2, 8, 3)": {"a": [2, 5]},
    "a = tuple(range(2))\nb = len(a)": {"a": (0, 1), "b": 2},
    "a = [min(3, 1), max([1, 2]), sum([1, 2.5]), abs(-2), round(2.567, 1)]": {"a": [1, 2, 3.5, 2, 2.6]},
    "a = [int('7'), float('1e-3'), str(3), bool([])]": {"a": [7, 0.001, "3", False]},
    "a = dict(type='x', class_='y')": {"a": {"type": "x", "class_": "y"}},
    "a = 'D:\\data'": {"a": "D:\\data"},
    "val = [1]\ntest = val": {"val": [1], "test": [1]},
}


@pytest.mark.parametrize("text", ALLOWED, ids=range(len(ALLOWED)))
def test_what_a_config_may_say_is_evaluated(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ALLOWED[text]


REFUSED = {
    "a = ": "1: not valid Python",
    "a = (1": "1: not valid Python",
    "a = '\0'": "not valid Python",
    "a = 1\nb = c": "2: the name 'c' is not assigned above.",
    "alpha = 1\nb = alhpa": "2: the name 'alhpa' is not assigned above. Did you mean 'alpha'?",
    "import os": "1: a config may not contain an import.",
    "from os import system": "Name a file with your own losses or hooks in custom_imports instead.",
    "def f(): pass": "a function",
    "class A: pass": "a class",
    "for i in []: pass": "a loop",
    "while True: pass": "a loop",
    "if True: a = 1": "an if statement (x = a if condition else b is understood)",
    "try:\n    a = 1\nexcept Exception: pass": "try",
    "with a: pass": "with",
    "a = 1\ndel a": "2: a config may not contain del",
    "global a": "global",
    "assert True": "assert",
    "1 + 1": "an expression on its own",
    "print('x')": "an expression on its own",
    "a = print('x')": "the call print(...)",
    "a = ranje(3)": "the call ranje(...) (Did you mean 'range'?)",
    "a = 'x'.upper()": "the call 'x'.upper(...)",
    "a = dict(x=1)\nb = a.items()": "the call a.items(...)",
    "a = list": "the function list without a call",
    "a = dict": "the function dict without a call",
    "a = sorted([2, 1])": "the call sorted(...)",
    "a = max([1], key=len)": "keyword arguments of max()",
    "a = [i for i in range(3)]": "a comprehension; write the values out, or list(range(n))",
    "a = {i: i for i in range(3)}": "a comprehension",
    "a = list(i for i in [1])": "a comprehension",
    "a = lambda: 0": "a lambda",
    "a = (b := 1)": "an assignment inside an expression",
    "a = {1, 2}": "a set; write a list",
    "a = b'x'": "the constant b'x'",
    "a = ...": "the constant Ellipsis",
    "a = 2j": "the constant 2j",
    "a = (-1) ** 0.5": "complex numbers",
    "a = '%s' % 1": "formatting with %",
    "a = 1 @ 2": "the operator MatMult",
    "a = 1 / 0": "cannot evaluate this: division by zero",
    "a = [1][3]": "cannot evaluate this: list index out of range",
    "a = 'x' + 1": "cannot evaluate this",
    "a = dict(warmup=1)\nb = a['wramup']": "there is no key 'wramup' in this dict. Did you mean 'warmup'?",
    "a = dict(warmup=1)\nb = a.wramup": "there is no key 'wramup' in this dict. Did you mean 'warmup'?",
    "a = {'x': 1, 'x': 2}": "the key 'x' is given twice",
    "a = dict(x=1, x=2)": "the key 'x' is given twice",
    "a = {(1, 2): 3}": "a dict key must be a string or an integer, got a tuple",
    "a = {**[1]}": "** takes a dict, got a list",
    "a = [1]\na += [2]": "a config may not change a list or dict in place",
    "b += 1": "not a name assigned above",
    "a = dict(x=1)\na['x'] = 2": "cannot assign to a['x']; write the value inside its dict(...)",
    "a = dict(x=1)\na.x = 2": "cannot assign to a.x",
    "a, b = 1, 2, 3": "2 names on the left need as many values on the right",
    "text = 'x'": "the name 'text' is reserved",
    "dict = 1": "the name 'dict' is reserved",
    "a = {{_base_.x}}": "{{_base_.x}} in a file without _base_",
    "a = {{ other }}": "only {{_base_.x}} and the file marks are known",
    "a = '{{ fileNmae }}'": "{{ fileNmae }} stands for nothing",
    "a = '{{ fileBaseName }}'": "Did you mean 'fileBasename'?",
    "a = '{{_base_.x}}'": "it stands for a whole value: write x={{_base_.x}} without quotes",
    "a = f'{{_base_.x}}'": "it stands for a whole value",
    "a = '{{ $SDPOSE_TEST_UNSET }}'": "the environment variable SDPOSE_TEST_UNSET is not set",
    "_base_ = 3": "_base_ must be a file name or a list of them",
    "_base_ = 'missing.py'": "1: the base file",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_everything_else_is_refused_with_file_line_and_reason(tmp_path: Path, text: str) -> None:
    with pytest.raises(SdposeError) as caught:
        read(tmp_path, text)
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'config.py'}:")


ATTACKS = {
    "dunder attribute": "a = ().__class__",
    "dunder through a dict": "a = dict(x=1)\nb = a.__class__",
    "private attribute": "a = dict(x=1)\nb = a._x",
    "dunder name": "a = __builtins__",
    "dunder assignment": "__builtins__ = {}",
    "import function": "a = __import__('os')",
    "eval": "a = eval('1')",
    "call of a call": "a = dict()()",
    "call of an item": "a = dict(f=1)\nb = a['f']()",
    "method of a string": "a = '{0.__class__}'.format(1)",
    "attribute in an f-string": "a = 1\nb = f'{a.__class__}'",
    "attribute in a format": "a = f'{\"x\":{().__class__}}'",
    "giant power": "a = 9 ** 9 ** 9",
    "giant power, negative base": "a = (-9) ** 99999999",
    "power by steps": "a = 10 ** 15\nb = a * a * a * a",
    "giant shift": "a = 1 << 9999999999",
    "giant literal": f"a = {'9' * 5000}",
    "giant number from text": f"a = int('{'9' * 4000}')",
    "repeat of a string": "a = 'x' * 10 ** 10",
    "repeat of a list": "a = [0] * 10 ** 9",
    "repeat from the left": "a = 10 ** 9 * [0]",
    "repeat by steps": "a = 'x' * 100000\nb = a * 100000",
    "giant range": "a = range(10 ** 12)",
    "list of a giant range": "a = list(range(10 ** 12))",
    "starred giant range": "a = [*range(10 ** 12)]",
    "round to giant digits": "a = round(5, -10 ** 18)",
    "format width": "a = f'{1:1000000000}'",
    "format precision": "a = f'{1.5:.1000000000f}'",
    "nested format width": "w = 10 ** 9\na = f'{1:{w}}'",
    "format of a list": "a = [0] * 1000\nb = f'{a:>100}'",
    "doubling lists": "a0 = [0] * 10\n" + "\n".join(f"a{i + 1} = [a{i}] * 10" for i in range(12)),
    "doubling dicts": "a0 = 1\n" + "\n".join(f"a{i + 1} = dict(x=a{i}, y=a{i})" for i in range(40)),
    "doubling strings": "a = 'x'\n" + "a = a + a\n" * 60,
    "doubling f-strings": "a = 'x'\n" + "a = f'{a}{a}'\n" * 60,
    "doubling through text": "a = [1]\n" + "a = str([a, a])\n" * 60,
    "deep lists": "a = " + "[" * 150 + "]" * 150,
    "very deep lists": "a = " + "[" * 5000 + "]" * 5000,
    "deep values by steps": "a = [1]\n" + "a = [a]\n" * 300,
    "deep signs": "a = " + "-" * 20000 + "1",
    "deep sums": "a = " + "+".join(["1"] * 50000),
    "deep attributes": "a = dict()\nb = a" + ".x" * 20000,
    "deep nots": "a = " + "not " * 20000 + "1",
    "work without end": "a = [0] * 90000\n" + "b = len(a)\n" * 5000,
    "giant file": "a = 1\n" + "# x" * 400000,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_quickly(tmp_path: Path, attack: str) -> None:
    # Computing time of this process alone: another's work beside it is no attack's.
    started_s = time.process_time()
    with pytest.raises(SdposeError):
        read(tmp_path, ATTACKS[attack])
    assert time.process_time() - started_s < 10


@pytest.mark.parametrize(
    "mark", ["{{ $A:", "{{ $A", "{{", "{{ fileX", "{{ _base_", "{{{{" * 1000, "{{ $A:x" * 1000]
)
@pytest.mark.parametrize("quote", ["'", "f'", ""])
def test_long_runs_of_blanks_after_a_mark_stay_cheap(tmp_path: Path, mark: str, quote: str) -> None:
    started_s = time.process_time()
    with pytest.raises(SdposeError):
        read(tmp_path, f"a = {quote}{mark}{' ' * 300_000}{quote[-1:]}")
    assert time.process_time() - started_s < 10


def test_opening_a_config_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for text in (
        f"open({str(trace)!r}, 'w')",
        f"a = open({str(trace)!r}, 'w')",
        f"import pathlib\npathlib.Path({str(trace)!r}).touch()",
    ):
        with pytest.raises(SdposeError):
            read(tmp_path, text)
    assert not trace.exists()


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "sdpose_t.py").write_text("")
    with pytest.raises(SdposeError, match=r"there is no such config file\. Did you mean 'sdpose_t\.py'\?"):
        read_config(tmp_path / "sdpose_tt.py")
    with pytest.raises(SdposeError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "image.py").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SdposeError, match="not a text file in UTF-8"):
        read_config(tmp_path / "image.py")


def test_file_marks_stand_for_the_name_of_the_file(tmp_path: Path) -> None:
    text = (
        "a = 'work_dirs/{{ fileBasenameNoExtension }}'\nb = '{{fileBasename}}{{fileExtname}}'\n"
        "c = {{ fileDirname }}\nx = 1\nd = f'{{ fileBasenameNoExtension }}_{x}'\n"
    )
    assert read(tmp_path, text, name="my_run.py") == {
        "a": "work_dirs/my_run",
        "b": "my_run.py.py",
        "c": str(tmp_path),
        "x": 1,
        "d": "my_run_1",
    }


def test_environment_marks_take_the_variable_or_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDPOSE_TEST_ROOT", "/mnt/o'brien \\ {x}")
    monkeypatch.setenv("SDPOSE_TEST_LR", "0.25")
    monkeypatch.delenv("SDPOSE_TEST_NONE", raising=False)
    text = (
        "a = '{{ $SDPOSE_TEST_ROOT:/data }}/x'\nb = '{{$SDPOSE_TEST_NONE:data/coco}}'\n"
        "c = {{ $SDPOSE_TEST_LR:0.5 }}\nd = dict(lr={{'$SDPOSE_TEST_NONE:0.5'}})\n"
        "e = '{{ $SDPOSE_TEST_NONE: }}'\nf = f'{{ $SDPOSE_TEST_NONE:y }}{1}'\n"
    )
    assert read(tmp_path, text) == {
        "a": "/mnt/o'brien \\ {x}/x",
        "b": "data/coco",
        "c": 0.25,
        "d": {"lr": 0.5},
        "e": "",
        "f": "y1",
    }


class TestBases:
    """`_base_`: what lies below, what lies above, and what contradicts itself."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "_base_").mkdir()
        (tmp_path / "_base_" / "a.py").write_text("model = dict(type='A', head=dict(k=1, l=[1, 2]))\nn = 5\n")
        (tmp_path / "_base_" / "b.py").write_text("lr = 1\n")
        return tmp_path

    def test_child_dicts_merge_and_everything_else_replaces(self, folder: Path) -> None:
        text = (
            "_base_ = ['_base_/a.py', '_base_/b.py']\nmodel = dict(head=dict(k=2, l=[3]), neck=None)\nlr = 2"
        )
        assert read(folder, text) == {
            "model": {"type": "A", "head": {"k": 2, "l": [3]}, "neck": None},
            "n": 5,
            "lr": 2,
        }

    def test_one_base_may_be_a_string_and_bases_may_have_bases(self, folder: Path) -> None:
        (folder / "middle.py").write_text("_base_ = './_base_/a.py'\nn = 6\n")
        assert read(folder, "_base_ = 'middle.py'\nm = 7") == {
            "model": {"type": "A", "head": {"k": 1, "l": [1, 2]}},
            "n": 6,
            "m": 7,
        }

    def test_delete_replaces_a_dict_at_any_depth(self, folder: Path) -> None:
        head = "head=dict(_delete_=True, z=1), new=dict(_delete_=True, y=2)"
        text = f"_base_ = '_base_/a.py'\nmodel = dict({head})"
        assert read(folder, text)["model"] == {"type": "A", "head": {"z": 1}, "new": {"y": 2}}

    def test_dict_over_something_else_needs_delete(self, folder: Path) -> None:
        with pytest.raises(
            SdposeError, match=r"config\.py:2: 'n' is a dict here and a int in the base file .*a\.py:2"
        ):
            read(folder, "_base_ = '_base_/a.py'\nn = dict(x=1)")
        assert read(folder, "_base_ = '_base_/a.py'\nn = dict(_delete_=True, x=1)")["n"] == {"x": 1}

    def test_the_same_key_in_two_bases_is_an_error(self, folder: Path) -> None:
        (folder / "_base_" / "c.py").write_text("\nlr = 3\n")
        with pytest.raises(
            SdposeError, match=r"config\.py:1: 'lr' is set by two base files, .*b\.py:1 and .*c\.py:2"
        ):
            read(folder, "_base_ = ['_base_/b.py', '_base_/c.py']")

    def test_base_values_are_referred_to_by_name(self, folder: Path) -> None:
        text = (
            "_base_ = '_base_/a.py'\nx = {{_base_.model.head.k}}\n"
            "y = dict(info={{ _base_.model.head }}, z={{_base_.n}} * 2)"
        )
        result = read(folder, text)
        assert (result["x"], result["y"]) == (1, {"info": {"k": 1, "l": [1, 2]}, "z": 10})

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("x = {{_base_.modle}}", "the base files set no 'modle'. Did you mean 'model'?"),
            ("x = {{_base_.n.k}}", "the base files set no 'n.k'."),
            ("x = {{_base_.model.__class__}}", "the base files set no 'model.__class__'."),
            ("x = n", "'n' is set in a base file; write {{_base_.n}} here"),
        ],
    )
    def test_wrong_references_are_explained(self, folder: Path, line: str, reason: str) -> None:
        with pytest.raises(SdposeError) as caught:
            read(folder, f"_base_ = '_base_/a.py'\n{line}")
        assert f"config.py:2: {reason}" in str(caught.value)

    def test_circles_are_refused(self, folder: Path) -> None:
        (folder / "one.py").write_text("_base_ = 'two.py'")
        (folder / "two.py").write_text("_base_ = 'one.py'")
        with pytest.raises(
            SdposeError, match=r"refer to each other in a circle: .*one\.py -> .*two\.py -> .*one\.py"
        ):
            read_config(folder / "one.py")
        with pytest.raises(SdposeError, match="circle"):
            read(folder, "_base_ = 'config.py'")

    def test_long_chains_are_refused(self, folder: Path) -> None:
        for number in range(30):
            (folder / f"c{number}.py").write_text(f"_base_ = 'c{number + 1}.py'")
        with pytest.raises(SdposeError, match="a chain of more than 16 _base_ files"):
            read_config(folder / "c0.py")

    @pytest.mark.parametrize("name", ["coco", "crowdpose"])
    def test_missing_facts_about_data_sets_come_from_the_package(self, folder: Path, name: str) -> None:
        path = folder / "config.py"
        path.write_text(
            f"_base_ = ['../mmpose/configs/_base_/datasets/{name}.py']\ninfo = {{{{_base_.dataset_info}}}}"
        )
        raw = read_config(path)
        assert raw.values["info"]["dataset_name"] == name
        assert len(raw.notes) == 1
        assert f"sdpose's own {name}.py is used" in raw.notes[0]

    def test_an_error_in_a_base_names_the_base(self, folder: Path) -> None:
        (folder / "_base_" / "bad.py").write_text("a = 1\nimport os\n")
        with pytest.raises(SdposeError, match=r"_base_/bad\.py:2: a config may not contain an import"):
            read(folder, "_base_ = '_base_/bad.py'")


class TestDataRoot:
    """A config moves to another data folder with everything that was built from data_root."""

    TEXT = (
        "data_cfg = dict(bbox_file='/dockerdata/coco/boxes/' 'val.json', note='/dockerdata/coconut')\n"
        "data_root = '/dockerdata/coco/'\n"
        "data = dict(ann=f'{data_root}/a.json', img=f'{data_root}val', cfg=data_cfg,\n"
        "    list=['/dockerdata/coco'])\n"
        "work_dir = '/dockerdata/coco/runs'\n"
    )

    @pytest.mark.parametrize("given", ["/mnt/x", "/mnt/x/"])
    def test_names_fstrings_and_literals_below_data_follow(self, tmp_path: Path, given: str) -> None:
        result = read(tmp_path, self.TEXT, data_root=given)
        assert result["data_root"] == "/mnt/x/"
        assert result["data"] == {
            "ann": "/mnt/x//a.json",
            "img": "/mnt/x/val",
            "cfg": {"bbox_file": "/mnt/x/boxes/val.json", "note": "/dockerdata/coconut"},
            "list": ["/mnt/x"],
        }
        assert result["work_dir"] == "/dockerdata/coco/runs"

    def test_a_new_root_below_the_old_one_is_not_applied_twice(self, tmp_path: Path) -> None:
        text = "data_root = 'data'\ndata = dict(ann=f'{data_root}/a.json', boxes='data/b.json')"
        result = read(tmp_path, text, data_root="data/coco")
        assert result["data"] == {"ann": "data/coco/a.json", "boxes": "data/coco/b.json"}

    def test_a_root_of_slash_moves_only_what_is_built_from_it(self, tmp_path: Path) -> None:
        text = "data_root = '/'\ndata = dict(ann=f'{data_root}a.json', boxes='/elsewhere/b.json')"
        result = read(tmp_path, text, data_root="/mnt/x")
        assert result["data"] == {"ann": "/mnt/x/a.json", "boxes": "/elsewhere/b.json"}

    def test_bases_follow_too(self, tmp_path: Path) -> None:
        (tmp_path / "base.py").write_text("data_root = 'data'\ndata = dict(ann=f'{data_root}/a.json')")
        result = read(tmp_path, "_base_ = 'base.py'\nx = 1", data_root="/mnt/x")
        assert result["data"] == {"ann": "/mnt/x/a.json"}


def test_overrides_replace_where_a_name_is_assigned(tmp_path: Path) -> None:
    text = (
        "date = '1024'\nwork_dir = f'runs/{date}'\ncfg = dict(size=[1, 2])\n"
        "data = dict(train=cfg, val=cfg)\nval = [cfg]\n"
    )
    overrides = {"date": "1027", "cfg.size.1": 9, "val.0.size": 0}
    assert read(tmp_path, text, overrides=overrides) == {
        "date": "1027",
        "work_dir": "runs/1027",
        "cfg": {"size": [1, 9]},
        "data": {"train": {"size": [1, 9]}, "val": {"size": [1, 9]}},
        "val": [{"size": 0}],
    }


def test_places_lead_to_the_line_of_a_setting(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("\nmodel = dict(\n    a=1,\n    b=dict(\n        c=2))\n")
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'base.py'\nmodel = dict(b=dict(d=4))\nhooks = [\n    dict(\n        x=1)]\n")
    values = read_config(path).values

    def place(*parts: Any) -> str:
        return str(find_place(values, parts)).removeprefix(f"{tmp_path}/")

    assert place("model") == "config.py:2"
    assert place("model", "a") == "base.py:3"
    assert place("model", "b", "c") == "base.py:5"
    assert place("model", "b", "d") == "config.py:2"
    assert place("hooks", 0, "x") == "config.py:5"
    assert place("hooks", 0, "absent") == "config.py:4"
