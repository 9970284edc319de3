"""What recovery decides, played through with plain numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from sdpose.training.recovery import LR_FACTORS, Recovery
from sdpose.training.repair import Decision, Fault, Level, Repair, Seen
from sdpose.training.treatment import Measure, Treatment

NAN = math.nan
Loss = Callable[[int, Treatment], float]


def noisy(iteration: int) -> float:
    """A healthy loss of about 1."""
    return 1.0 + 0.1 * math.sin(iteration * 12.9898)


@dataclass
class Story:
    """A run whose loss is a function of the iteration and of what was repaired; one state is kept an interval."""

    loss: Loss
    recovery: Recovery
    interval: int = 10
    find: Callable[[Sequence[Seen]], list[Fault]] = lambda seen: non_finite(seen)
    grad_norm: float | None = 0.5
    now: int = 0
    states: list[int] = field(default_factory=list)
    keep: int = 1
    decisions: list[Decision] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)

    def go(self, total: int) -> Story:
        while self.now < total:
            self.states = [*self.states, self.now][-self.keep :]
            seen = []
            for iteration in range(self.now + 1, self.now + self.interval + 1):
                treatment = self.recovery.treatment
                if not treatment.skips(iteration):
                    loss = self.loss(iteration, treatment)
                    seen.append(Seen(iteration=iteration, loss=loss, grad_norm=self.grad_norm))
            self.now += self.interval
            self.losses.update({entry.iteration: entry.loss for entry in seen})
            decision = self.recovery.observe(seen, self.find(seen), self.states)
            if decision != Decision():
                self.decisions.append(decision)
            if decision.lost is not None:
                break
            if decision.repair is not None:
                self.recovery.went_back(decision.repair)
                self.now = decision.repair.go_back_to
                self.states = [state for state in self.states if state < self.now]
        return self

    @property
    def steps(self) -> list[str]:
        """What happened, in one word each."""
        told = []
        for decision in self.decisions:
            told += ["helped"] if decision.helped else []
            told += [decision.repair.step] if decision.repair else []
            told += ["lost"] if decision.lost else []
        return told


def non_finite(seen: Sequence[Seen]) -> list[Fault]:
    bad = [entry.iteration for entry in seen if not math.isfinite(entry.loss)]
    return [Fault(kind="non_finite", severity="critical", iteration=bad[0], since=bad[0])] if bad else []


def above(limit: float, kind: str, severity: str = "critical") -> Callable[[Sequence[Seen]], list[Fault]]:
    """A detector that speaks at the end of the interval about the first loss above a limit."""

    def find(seen: Sequence[Seen]) -> list[Fault]:
        high = [entry.iteration for entry in seen if not entry.loss <= limit]
        return (
            [Fault(kind=kind, severity=severity, iteration=seen[-1].iteration, since=high[0])] if high else []
        )

    return find


def poisoned_by(*batches: int) -> Loss:
    """NaN for good once one of these batches is trained on."""

    def loss(iteration: int, treatment: Treatment) -> float:
        return NAN if any(b <= iteration and not treatment.skips(b) for b in batches) else noisy(iteration)

    return loss


def test_a_healthy_run_is_left_alone() -> None:
    story = Story(lambda i, t: noisy(i), Recovery()).go(500)
    assert story.decisions == []
    assert story.recovery.treatment == Treatment()


def test_the_batch_behind_a_nan_is_left_out() -> None:
    story = Story(poisoned_by(37), Recovery(check_iterations=20)).go(200)
    assert story.steps == ["skip", "helped"]
    (first, second) = story.decisions
    repair = first.repair
    assert repair is not None
    assert (repair.go_back_to, repair.onset, repair.skipped) == (30, 37, {37})
    assert repair.in_words() == "the batch of iteration 37 is left out"
    assert second.helped == repair
    assert story.recovery.treatment == Treatment(skipped=frozenset({37}))
    assert all(story.losses[i] == noisy(i) for i in range(1, 201) if i != 37)


@pytest.mark.parametrize("batches", [(33, 38), (33, 45), (33, 90)], ids=["an interval", "the check", "later"])
def test_each_of_two_bad_batches_is_left_out(batches: tuple[int, int]) -> None:
    story = Story(poisoned_by(*batches), Recovery(check_iterations=20, max_repairs=1)).go(200)
    assert story.steps == ["skip", "helped", "skip", "helped"]
    assert story.recovery.treatment == Treatment(skipped=frozenset(batches))


def test_neighbouring_bad_batches_are_left_out_one_by_one() -> None:
    story = Story(poisoned_by(33, 34, 35), Recovery(check_iterations=20)).go(200)
    assert story.steps == ["skip", "clip", "lower_lr", "helped"]
    assert story.recovery.treatment.skipped == {33, 34, 35}


def test_the_very_first_batch_can_be_left_out() -> None:
    story = Story(poisoned_by(1), Recovery(check_iterations=20)).go(60)
    assert story.steps == ["skip", "helped"]
    repair = story.decisions[0].repair
    assert repair is not None
    assert (repair.go_back_to, repair.level) == (0, None)


def blown_up_unless(lr_factor: float, start: int = 40, growth: float = 1.3) -> Loss:
    """Grows from `start` on until it overflows, unless the learning rate is low enough in time."""

    def loss(iteration: int, treatment: Treatment) -> float:
        if iteration <= start or treatment.lr_factor(start + 8) <= lr_factor:
            return noisy(iteration)
        value = noisy(iteration) * growth ** (iteration - start)
        return value if value < 1e6 else NAN

    return loss


def test_a_nan_after_rising_losses_blames_no_batch() -> None:
    story = Story(blown_up_unless(0.3), Recovery(check_iterations=20), keep=100).go(300)
    first = story.decisions[0].repair
    assert first is not None
    assert first.skipped == set()
    assert 40 < first.onset < 50, "where the losses left their level, not where the first NaN was"
    assert story.steps == ["clip", "lower_lr", "helped"]


def test_divergence_lowers_the_rate_twice_and_then_goes_back_further() -> None:
    def loss(iteration: int, treatment: Treatment) -> float:
        """The state is damaged long before anything shows, at iteration 25."""
        if iteration <= 40 or treatment.lr_factor(25) <= 0.03:
            return noisy(iteration)
        return noisy(iteration) * 1.3 ** (iteration - 40)

    recovery = Recovery(check_iterations=20)
    story = Story(loss, recovery, keep=100, find=above(4.0, "divergence")).go(300)
    assert story.steps == ["lower_lr", "lower_lr", "roll_back", "helped"]
    first, second, third = (decision.repair for decision in story.decisions[:3])
    assert first is not None and second is not None and third is not None
    assert third.go_back_to < second.go_back_to == first.go_back_to < first.onset
    assert [repair.measure for repair in (first, second, third)] == [
        Measure(from_iteration=first.onset - 10, lr_factor=LR_FACTORS[0]),
        Measure(from_iteration=first.onset - 10, lr_factor=LR_FACTORS[1]),
        Measure(from_iteration=third.go_back_to + 1, lr_factor=LR_FACTORS[1]),
    ]
    assert [recovery.treatment.lr_factor(i) for i in (third.go_back_to, 300)] == [1.0, LR_FACTORS[1]]


@pytest.mark.parametrize(
    ("settings_since", "good_states", "go_back_to", "start"),
    [
        (0, [20, 40, 50], 20, 35),
        (0, [40, 50], 40, 41),
        (40, [20, 40, 50], 40, 41),
        (44, [20, 44, 50], 44, 45),
        (50, [20, 50], 20, 45),
        (0, [45], -1, None),
    ],
    ids=[
        "an interval before",
        "as far as can be",
        "not before new settings",
        "right before",
        "older",
        "none",
    ],
)
def test_how_far_a_rate_that_is_too_high_leads_back(
    settings_since: int, good_states: list[int], go_back_to: int, start: int | None
) -> None:
    recovery = Recovery(check_iterations=20)
    recovery.settings_since = settings_since
    seen = [Seen(iteration=i, loss=noisy(i) * (4 if i >= 45 else 1)) for i in range(1, 61)]
    fault = Fault(kind="divergence", severity="critical", iteration=60, since=45)
    decision = recovery.observe(seen, [fault], good_states)
    if start is None:
        assert decision.lost is not None and decision.lost.go_back_to == go_back_to
    else:
        assert decision.repair is not None
        assert decision.repair.go_back_to == go_back_to
        assert decision.repair.measure == Measure(from_iteration=start, lr_factor=LR_FACTORS[0])


def test_a_repair_that_leaves_the_loss_high_has_not_helped() -> None:
    """No alert comes any more, and still the level is not reached again."""

    def stuck(iteration: int, treatment: Treatment) -> float:
        if iteration <= 40 or treatment.lr_factor(45) <= 0.03:
            return noisy(iteration)
        return 1.2 * noisy(iteration) if treatment.lr_factor(45) < 1 else 10.0

    story = Story(stuck, Recovery(check_iterations=20), keep=100, find=above(5.0, "divergence")).go(300)
    assert story.steps == ["lower_lr", "lower_lr", "helped"]


def test_where_no_lower_rate_would_follow_somewhat_higher_losses_are_good_enough() -> None:
    def loss(iteration: int, treatment: Treatment) -> float:
        if iteration <= 40:
            return noisy(iteration)
        return 1.2 * noisy(iteration) if treatment.lr_factor(45) < 1 else 10.0

    story = Story(loss, Recovery(check_iterations=20), keep=100, find=above(5.0, "divergence")).go(300)
    assert story.steps == ["lower_lr", "lower_lr", "helped"]


def test_one_wild_batch_is_left_out_of_a_spike() -> None:
    """The alert names a window; the losses in it tell which batch."""

    def loss(iteration: int, treatment: Treatment) -> float:
        if treatment.skips(57) or iteration < 57:
            return noisy(iteration)
        return noisy(iteration) + 30 * 0.5 ** (iteration - 57)

    def find(seen: Sequence[Seen]) -> list[Fault]:
        if max(entry.loss for entry in seen) < 5:
            return []
        return [
            Fault(
                kind="loss_spike", severity="warning", iteration=seen[-1].iteration, since=seen[0].iteration
            )
        ]

    story = Story(loss, Recovery(check_iterations=20), find=find).go(200)
    assert story.steps == ["skip", "helped"]
    assert story.recovery.treatment == Treatment(skipped=frozenset({57}))


def test_a_spike_that_does_not_fall_blames_no_batch() -> None:
    def loss(iteration: int, treatment: Treatment) -> float:
        return noisy(iteration) * (1 if iteration < 52 or treatment.max_norm(52, None) else 6)

    story = Story(loss, Recovery(check_iterations=20), find=above(3.0, "loss_spike", "warning"), keep=9)
    assert story.go(200).steps == ["clip", "helped"]


@pytest.mark.parametrize(
    ("configured", "usual", "norm"), [(None, 0.5, 1.0), (1.0, 0.2, 0.4), (1.0, 5.0, 0.5), (1.0, None, 0.5)]
)
def test_tighter_is_half_but_not_above_twice_the_usual(
    configured: float | None, usual: float | None, norm: float
) -> None:
    recovery = Recovery(max_norm=configured)
    story = Story(
        lambda i, t: noisy(i), recovery, grad_norm=usual, find=above(99.0, "gradient_explosion", "warning")
    ).go(50)
    fault = Fault(kind="gradient_explosion", severity="warning", iteration=50, since=45)
    repair = recovery.observe([], [fault], story.states).repair
    assert repair is not None
    assert repair.measure == Measure(from_iteration=44, max_norm=norm)
    assert repair.in_words() == f"gradients are clipped to {norm:.3g} from iteration 44 on"


def test_without_any_known_norm_the_rate_is_lowered_instead() -> None:
    story = Story(blown_up_unless(0.3), Recovery(check_iterations=20), keep=99, grad_norm=None).go(200)
    assert story.steps == ["lower_lr", "helped"]


@pytest.mark.parametrize("max_repairs", [1, 2, 3, 4])
def test_what_nothing_helps_is_given_up_after_so_many_repairs(max_repairs: int) -> None:
    story = Story(lambda i, t: noisy(i) if i < 45 else NAN, Recovery(max_repairs=max_repairs), keep=100).go(
        300
    )
    ladder = ["skip", "clip", "lower_lr", "lower_lr"]
    assert story.steps == [*ladder[:max_repairs], "lost"]
    assert story.decisions[-1].why == f"{max_repairs} repairs were made (monitor.max_repairs)"


def test_changes_of_the_training_count_for_the_whole_run() -> None:
    """A rate that has to be lowered again and again is no run to go on with."""

    def loss(iteration: int, treatment: Treatment) -> float:
        due = sum(iteration > start for start in (50, 150, 250, 350))
        return noisy(iteration) if len(treatment.measures) >= due else 9.0

    story = Story(
        loss, Recovery(check_iterations=20, cooldown_iterations=0), find=above(4.0, "divergence"), keep=9
    ).go(500)
    assert story.steps == ["lower_lr", "helped"] * 3 + ["lost"]


def test_left_out_batches_count_only_against_the_share() -> None:
    bad = tuple(range(25, 1000, 25))
    story = Story(poisoned_by(*bad), Recovery(check_iterations=10)).go(1000)
    assert story.steps == ["skip", "helped"] * 10 + ["lost"]
    assert story.decisions[-1].why == "11 batches would be left out, more than 1 %: look at the data"


def test_without_a_state_from_before_there_is_no_repair() -> None:
    fault = Fault(kind="divergence", severity="critical", iteration=60, since=31)
    seen = [Seen(iteration=i, loss=noisy(i)) for i in range(1, 61)]
    decision = Recovery().observe(seen, [fault], [40, 50])
    assert decision.repair is None
    assert decision.why == "no good state from before iteration 31 is left"


def test_warnings_wait_after_a_repair_and_critical_faults_do_not() -> None:
    recovery = Recovery(check_iterations=20, cooldown_iterations=100)
    Story(poisoned_by(37), recovery, keep=9).go(80)
    for severity, repaired in (("warning", False), ("critical", True)):
        fault = Fault(kind="loss_spike", severity=severity, iteration=90, since=85)
        seen = [Seen(iteration=i, loss=noisy(i)) for i in range(81, 91)]
        assert (recovery.observe(seen, [fault], [80]).repair is not None) == repaired


def test_kinds_without_a_treatment_are_left_alone() -> None:
    fault = Fault(kind="disk_low", severity="critical", iteration=9, since=9)
    assert Recovery().observe([Seen(iteration=9, loss=1.0)], [fault], [0]) == Decision()


def test_a_dry_run_asks_once() -> None:
    recovery = Recovery()
    seen = [Seen(iteration=i, loss=noisy(i)) for i in range(1, 61)]
    fault = Fault(kind="loss_spike", severity="warning", iteration=60, since=51)
    assert recovery.observe(seen, [fault], [50]).repair is not None
    recovery.left_it(60)
    again = Fault(kind="loss_spike", severity="warning", iteration=61, since=61)
    assert recovery.observe([Seen(iteration=61, loss=1.0)], [again], [50]) == Decision()
    assert recovery.treatment == Treatment()


STORIES: list[tuple[Loss, Callable[[Sequence[Seen]], list[Fault]]]] = [
    (poisoned_by(37, 44, 45), non_finite),
    (blown_up_unless(0.1), above(4.0, "divergence")),
]


@pytest.mark.parametrize(("loss", "find"), STORIES, ids=["skip", "lower"])
@pytest.mark.parametrize("stopped_after", range(1, 12))
def test_resumed_it_decides_what_it_would_have_decided(
    loss: Loss, find: Callable[[Sequence[Seen]], list[Fault]], stopped_after: int
) -> None:
    """Through JSON after any number of intervals, whatever state the resumed run can go back to."""
    whole = Story(loss, Recovery(check_iterations=20), find=find, keep=100).go(200)
    story = Story(loss, Recovery(check_iterations=20), find=find, keep=100)
    original = story.recovery.observe
    calls = 0

    def counted(*arguments: object) -> Decision:
        nonlocal calls
        calls += 1
        return original(*arguments)  # type: ignore[arg-type]

    story.recovery.observe = counted  # type: ignore[method-assign, assignment]
    while calls < stopped_after:
        story.go(story.now + 1)
    resumed = Story(loss, Recovery(check_iterations=20), find=find, keep=100, now=story.now)
    resumed.states = story.states
    resumed.recovery.load_state_dict(json.loads(json.dumps(story.recovery.state_dict())))
    resumed.go(200)
    assert [*story.decisions, *resumed.decisions] == whole.decisions
    assert resumed.recovery.treatment == whole.recovery.treatment
    assert resumed.recovery.state_dict() == whole.recovery.state_dict()


@pytest.mark.parametrize(
    ("losses", "back", "far"),
    [
        ([1.0], 1.4, 2.1),
        ([1e-6, 1e-6], 1.4e-6, 2.1e-6),
        ([0.0, 0.0], 0.0, 1e-9),
        ([1.0, 2.0, 3.0], 4.0, 20.0),
    ],
)
def test_levels_have_no_scale(losses: list[float], back: float, far: float) -> None:
    level = Level.of(losses)
    assert level.is_back([back], 0.5) and not level.is_far_above(back)
    assert level.is_far_above(far) and not level.is_back([far], 0.5)
    assert not level.is_back([NAN, NAN, back], 0.5) and level.is_far_above(NAN)


@pytest.mark.parametrize(("number", "is_back"), [(1, True), (4, True), (16, False)])
def test_many_losses_tell_more_than_one(number: int, is_back: bool) -> None:
    assert Level(loss=1.0, spread=0.1).is_back([1.15] * number, 0.1) == is_back


def test_a_treatment_is_a_function_of_the_iteration() -> None:
    treatment = Treatment(
        skipped=frozenset({3}),
        measures=(
            Measure(from_iteration=5, lr_factor=0.5),
            Measure(from_iteration=7, lr_factor=0.5, max_norm=2.0),
        ),
    )
    assert [treatment.skips(i) for i in (2, 3, 4)] == [False, True, False]
    assert [treatment.lr_factor(i) for i in (4, 5, 6, 7)] == [1.0, 0.5, 0.5, 0.25]
    assert [treatment.max_norm(i, None) for i in (6, 7)] == [None, 2.0]
    assert [treatment.max_norm(i, 1.0) for i in (6, 7)] == [1.0, 1.0]
    assert Treatment.from_plain(json.loads(json.dumps(treatment.to_plain()))) == treatment


def test_a_repair_survives_the_checkpoint() -> None:
    repair = Repair(
        step="roll_back",
        attempt=2,
        fault=Fault(kind="non_finite", severity="critical", iteration=9, since=8, suspects=(7, 8)),
        onset=7,
        go_back_to=5,
        skipped=frozenset({7, 8}),
        measure=Measure(from_iteration=6, lr_factor=0.1, max_norm=0.5),
        level=Level(loss=1.0, spread=0.1),
        check_until=40,
    )
    assert Repair.from_plain(json.loads(json.dumps(repair.to_plain()))) == repair
    assert repair.in_words() == (
        "the batch of iteration 7, 8 is left out, gradients are clipped to 0.5 and "
        "the learning rate is multiplied by 0.1 from iteration 6 on"
    )
