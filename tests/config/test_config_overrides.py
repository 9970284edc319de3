"""`--cfg-options` reads values as the original does and puts them where their path leads."""

from __future__ import annotations

from typing import Any

import pytest

from sdpose.config.overrides import apply_overrides, parse_overrides
from sdpose.config.places import Place, SourceDict, plain
from sdpose.errors import SdposeError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("3", 3),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("True", True),
        ("false", False),
        ("None", None),
        ("mAP", "mAP"),
        ("work_dirs/run_1", "work_dirs/run_1"),
        ("a=b", "a=b"),
        ("'3'", "3"),
        ('"a,b"', "a,b"),
        ("1,2", [1, 2]),
        ("1,", [1]),
        ("[1,2]", [1, 2]),
        ("[ 1 , x ]", [1, "x"]),
        ("[]", []),
        ("()", ()),
        ("(1,2.5)", (1, 2.5)),
        ("(4,)", (4,)),
        ("[(1,2),[3,none]]", [(1, 2), [3, None]]),
        ("(1,2),(3,4)", [(1, 2), (3, 4)]),
        ("['a,b',c]", ["a,b", "c"]),
        ("'a','b'", ["a", "b"]),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_values_are_read(text: str, value: object) -> None:
    parsed = parse_overrides([f"a.b={text}"])["a.b"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_nothing_is_read_from_nothing_and_the_last_of_a_key_wins() -> None:
    assert parse_overrides([]) == {}
    assert parse_overrides(["a=1", "a=2"]) == {"a": 2}


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("a", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("a..b=1", "expected KEY=VALUE"),
        ("a=[1,2", "a bracket is not closed"),
        ("a=(1,2]", "the brackets do not match"),
        ("a=1]", "the brackets do not match"),
        ("a=" + "[" * 30 + "]" * 30, "brackets nested more than 20 levels deep"),
    ],
)
def test_malformed_options_are_named(option: str, reason: str) -> None:
    with pytest.raises(SdposeError, match=reason):
        parse_overrides([option])


def config(**values: Any) -> SourceDict:
    """Plain values as the reader gives them."""
    result = SourceDict(Place("config.py", 1))
    for key, value in values.items():
        result.put(key, config(**value) if isinstance(value, dict) else value, Place("config.py", 2))
    return result


def test_paths_lead_through_dicts_and_lists() -> None:
    before = config(a={"b": 1, "c": None}, hooks=[config(x=1), config(x=2)], pair=(1, 2))
    after = apply_overrides(
        before, {"a.b": 5, "a.c.norm": 3, "hooks.1.x": 7, "pair.0": 9, "new.deep.key": True}
    )
    assert plain(after) == {
        "a": {"b": 5, "c": {"norm": 3}},
        "hooks": [{"x": 1}, {"x": 7}],
        "pair": (9, 2),
        "new": {"deep": {"key": True}},
    }
    assert plain(before) == {"a": {"b": 1, "c": None}, "hooks": [{"x": 1}, {"x": 2}], "pair": (1, 2)}
    assert str(after["a"].place_of("b")) == "--cfg-options a.b=5"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a.b.c", "--cfg-options a.b.c=1: 'b' is 1, which has no setting 'c'"),
        ("hooks.2.x", "'2' is no index of a list of 2 (0 to 1)"),
        ("hooks.x", "'x' is no index of a list of 2"),
        ("hooks.0.x.y", "'x' is 1, which has no setting 'y'"),
    ],
)
def test_paths_into_nowhere_are_explained(key: str, reason: str) -> None:
    with pytest.raises(SdposeError) as caught:
        apply_overrides(config(a={"b": 1}, hooks=[config(x=1), config(x=2)]), {key: 1})
    assert reason in str(caught.value)
