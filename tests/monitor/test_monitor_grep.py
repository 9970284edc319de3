"""The guide's `grep -i "nan\\|inf"` finds NaN and Inf where they are, and nothing else of ours."""

from __future__ import annotations

import re
from itertools import product

import pytest
from monitor_findings import FACTS, KINDS, finding

from sdpose.monitor import RunFacts, alert_lines
from sdpose.monitor.diagnosis import explain

GREP = re.compile("nan|inf", re.IGNORECASE)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"non_finite", "recovery", "recovery_failed"}))
def test_no_line_of_a_finite_alert_is_caught_by_the_guides_grep(kind: str, language: str) -> None:
    for facts, epoch, value in product(FACTS, [1, 100, 299], [0.0, 0.4]):
        for entry in alert_lines(explain(finding(kind, epoch=epoch, value=value), facts, language)):
            assert not GREP.search(entry), entry


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_non_finite_alert_is_caught(language: str) -> None:
    lines = alert_lines(explain(finding("non_finite"), RunFacts(), language))
    assert GREP.search(lines[0])


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("kind", ["recovery", "recovery_failed"])
def test_a_repair_repeats_the_name_of_its_cause_and_no_other_such_word(kind: str, language: str) -> None:
    alert = explain(finding(kind, cause="divergence"), FACTS[2], language)
    assert [entry for entry in alert_lines(alert) if GREP.search(entry)] == []
