"""Both languages say the same things; an explanation survives its file; the page begins with the verdict."""

from __future__ import annotations

import dataclasses
import re
import string

import pytest

from sdpose.explain import Experiment, Explanation, Place, Suspect
from sdpose.explain.page import WIDTH, page_lines
from sdpose.explain.phrases import TEXTS, Phrases


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_phrases_with_the_same_numbers() -> None:
    english, korean = TEXTS["en"], TEXTS["ko"]
    assert list(korean) == list(english)
    assert {key: placeholders(text) for key, text in korean.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


def test_ordinary_phrases_keep_out_of_the_guides_grep() -> None:
    # grep -i "nan\|inf" latest.log: only a value that truly is one may answer.
    said = [text for texts in TEXTS.values() for text in texts.values()]
    assert [text for text in said if re.search("nan|inf", text, re.IGNORECASE)] == []


EXPLANATION = Explanation(
    kind="non_finite",
    iteration=6,
    metric="loss",
    value=float("nan"),
    reproduced=True,
    cause="data",
    verdict="One sample brings the fault.",
    onset=6,
    suspects=(
        Suspect(
            image_id=41,
            annotation_id=657,
            file_name="41.jpg",
            position=3,
            rank=0,
            reason="odd",
            numbers={"odd": ["x"]},
        ),
    ),
    place=Place(layer="target", phase="target", fault="non_finite", value=float("inf"), usual=None),
    experiments=(
        Experiment(
            name="same_again", question="Again?", answer="yes " * 60, outcome="fault", numbers={"times": 3}
        ),
    ),
    ruled_out=("hardware: 3 of 3 agree",),
    actions=("remove it", "go on"),
    notes=("none",),
    snapshot_iteration=5,
    source="before.pth",
    machine="cpu",
    elapsed_s=2.5,
)


def test_an_explanation_survives_its_file() -> None:
    text = EXPLANATION.to_json()
    assert "\n" not in text
    again = Explanation.from_json(text)
    assert again.to_json() == text
    assert again.suspects == EXPLANATION.suspects
    assert again.place == EXPLANATION.place
    assert again.experiments == EXPLANATION.experiments
    assert again.value != again.value


@pytest.mark.parametrize("text", ["[]", "{}", '{"verdict": "x"}', '"x"'])
def test_something_else_is_no_explanation(text: str) -> None:
    with pytest.raises(ValueError, match="not an explanation"):
        Explanation.from_json(text)


@pytest.mark.parametrize(
    ("reproduced", "cause", "label", "code"),
    [
        (True, "data", "DATA: ", 0),
        (True, None, "UNCLEAR: ", 1),
        (False, "hardware", "NOT REPRODUCED, HARDWARE SUSPECTED: ", 1),
        (False, None, "NOT REPRODUCED: ", 1),
    ],
)
def test_the_page_begins_with_the_verdict(reproduced: bool, cause: str, label: str, code: int) -> None:
    changed = dataclasses.replace(EXPLANATION, reproduced=reproduced, cause=cause)  # type: ignore[arg-type]
    lines = list(page_lines(changed))
    assert lines[0] == "non_finite at iteration 6: loss was NaN"
    assert lines[2].startswith(label)
    assert changed.exit_code == code
    assert all(len(line) <= WIDTH for line in lines)
    text = "\n".join(lines)
    assert text.index("remove it") < text.index("image 41") < text.index("Again?") < text.index("Ruled out")


def test_a_korean_page_fits_too() -> None:
    say = Phrases("ko")
    verdict = say("verdict.hardware.never", first=1, last=2)
    lines = list(page_lines(dataclasses.replace(EXPLANATION, language="ko", verdict=verdict)))
    assert "데이터: " in lines[2]
    wide = max(len(line) + len(re.findall("[가-힣]", line)) for line in lines)
    assert wide <= WIDTH + 6
