"""A fault is what is not finite, or far beyond what the same run shows otherwise, on any scale."""

from __future__ import annotations

import math

import pytest

from sdpose.explain.computation import Lived
from sdpose.explain.symptom import Symptom, Usual

TERMS = {"heatmap_loss": 1.0, "kpt_dist_loss": 1e-6}


def lived(scale: float = 1.0, *, broken: tuple[str, ...] = (), **changes: float) -> Lived:
    terms = {**TERMS, **changes}
    values = {name: value * scale for name, value in terms.items()}
    return Lived({**values, "loss": sum(values.values()), "grad_norm": scale}, (0.0,), broken_weights=broken)


def usual(scale: float = 1.0, count: int = 5) -> Usual:
    return Usual.of(lived(scale * (1 + 0.1 * number)) for number in range(count))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_extreme_loss_is_a_sign_on_any_scale(scale: float) -> None:
    assert Symptom().sign(lived(9 * scale), usual(scale)) is None
    sign = Symptom().sign(lived(15 * scale), usual(scale))
    assert sign is not None
    assert (sign.name, sign.is_finite) == ("heatmap_loss", True)
    assert sign.usual == pytest.approx(1.2 * scale)


def test_a_negligible_term_may_grow() -> None:
    assert Symptom().sign(lived(kpt_dist_loss=1e-4), usual()) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_term_is_named_before_the_sum(value: float) -> None:
    sign = Symptom().sign(lived(kpt_dist_loss=value), Usual({}))
    assert sign is not None
    assert (sign.name, sign.is_finite) == ("kpt_dist_loss", False)


def test_broken_weights_are_a_sign_when_all_values_are_well() -> None:
    sign = Symptom().sign(lived(broken=("head.weight", "head.bias")), usual())
    assert sign is not None
    assert sign.name == "head.weight"


def test_too_little_history_makes_nothing_extreme() -> None:
    assert Symptom().sign(lived(1e6), usual(count=2)) is None


def test_the_alerts_own_value_draws_the_line() -> None:
    seen = Symptom("grad_norm", 4.0)
    assert seen.sign(lived(1.5), usual()) is None
    # Half way, as ratios go, between 1.2 and 4.
    sign = seen.sign(lived(2.5), usual())
    assert sign is not None
    assert sign.name == "grad_norm"


def test_an_alert_about_a_usual_value_draws_no_line() -> None:
    assert Symptom("grad_norm", 2.0).sign(lived(1.8), usual()) is None


def test_wild_losses_need_more_to_stand_out() -> None:
    wild = Usual({"loss": [0.1, 30.0, 0.2, 50.0, 1.0, 20.0, 0.3]})
    assert Symptom().sign(lived(15.0), wild) is None
