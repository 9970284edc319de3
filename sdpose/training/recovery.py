"""What to do about a fault: faults and losses in, decisions out. Knows no tensors, files or processes.

A repair goes back to a state before the fault and trains on with something changed. What is changed escalates: first
the offending batch is left out, then gradients are clipped tighter, then the learning rate is lowered, then the run
goes back further. A repair has helped when the losses after the faulty place are back at the level before it; when
they are not, or the fault comes again, the next step follows.

Iterations are 1-based and count from the start of the run. All that is decided depends on losses and faults alone, so
every process decides the same, and a resumed run decides what the uninterrupted one would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from sdpose.training.repair import LADDER, Decision, Fault, Level, Repair, Seen, Step
from sdpose.training.treatment import Measure, Treatment

#: Kinds of alerts that can be repaired, and where on the ladder each begins. The first two are about single batches,
#: unless the losses rose before; the others are about the way of training.
FIRST_STEP: Mapping[str, Step] = {
    "non_finite": "skip",
    "loss_spike": "skip",
    "gradient_explosion": "clip",
    "divergence": "lower_lr",
}
REPAIRABLE = tuple(FIRST_STEP)
# Learning rates after the first and the second time of lowering for the same fault, as parts of the config's. What
# diverges is not a little too high; and what is a little too low then costs less than to diverge again.
LR_FACTORS = (0.1, 0.03)
HISTORY = 200
# Losses before a fault that make "the level before".
LEVEL_LENGTH = 100
# How far above the level before, as a part of it, losses may be after a repair.
NEAR, NEAR_ENOUGH = 0.1, 0.5
# High losses in a row, not falling: this is no single bad batch.
LONG_RISE = 5
# A run that would leave out more than this share of its batches has bad data, which a repair only hides.
LARGEST_SKIPPED_SHARE = 0.01
FEW_SKIPPED = 10


class Recovery:
    """Decides. `observe` after every logging interval; who obeys a repair says so with `went_back`."""

    def __init__(
        self,
        *,
        max_repairs: int = 3,
        check_iterations: int = 100,
        cooldown_iterations: int = 200,
        max_norm: float | None = None,
    ) -> None:
        """max_repairs: tried in a row, and changes of the learning rate or the clipping in the whole run; batches that
        were rightly left out do not count. check_iterations: losses after which a repair is judged.
        cooldown_iterations: after a repair that helped, warnings lead to no new one for so long. max_norm: of the
        config's clipping.
        """
        self.max_repairs = max_repairs
        self.check_iterations = check_iterations
        self.cooldown_iterations = cooldown_iterations
        self.max_norm = max_norm
        self.settings_since = 0
        """Finished iterations when training with the present settings began: a resume may bring others."""
        self._confirmed = Treatment()
        self._under_test: Repair | None = None
        self._cooling_until = 0
        self._history: list[Seen] = []

    @property
    def treatment(self) -> Treatment:
        """All repairs so far, the one under test included."""
        test = self._under_test
        return self._confirmed if test is None else self._confirmed.with_more(test.skipped, test.measure)

    @property
    def under_test(self) -> Repair | None:
        """The repair that waits for its judgement."""
        return self._under_test

    def observe(self, seen: Sequence[Seen], faults: Sequence[Fault], good_states: Sequence[int]) -> Decision:
        """What to do after these iterations.

        `good_states` are the finished iterations of the states that one can go back to.
        """
        self._history = [*self._history, *seen][-HISTORY:]
        now = max((entry.iteration for entry in seen), default=0)
        test, fault = self._under_test, self._fault_to_treat(faults)
        if test is None:
            return self._first_step(fault, good_states) if fault is not None else Decision()
        # A batch is left out or not; a way of training that leads to a fault again was not changed enough.
        may_be_another = test.step == "skip"
        if fault is not None and may_be_another and self._has_helped_until(test, self._place(fault).onset):
            self._confirm(now)
            return replace(self._first_step(fault, good_states), helped=test)
        if fault is not None:
            return self._next_step(test, fault, now, good_states)
        if now < test.check_until:
            return Decision()
        if self._has_helped_until(test, now + 1):
            self._confirm(now)
            return Decision(helped=test)
        return self._next_step(test, test.fault, now, good_states)

    def went_back(self, repair: Repair) -> None:
        """The repair is under way: the state is that of `repair.go_back_to`."""
        self._under_test = repair
        self._history = [entry for entry in self._history if entry.iteration <= repair.go_back_to]

    def gave_up(self) -> None:
        """The run ends; the repair under test, which did not help, is not to be met again after a resume."""
        self._under_test = None

    def left_it(self, now: int) -> None:
        """A decision was not obeyed (a dry run): the same is not asked for at once."""
        self._cooling_until = now + self.cooldown_iterations

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain data for the checkpoint."""
        return {
            "confirmed": self._confirmed.to_plain(),
            "under_test": self._under_test.to_plain() if self._under_test else None,
            "cooling_until": self._cooling_until,
            "settings_since": self.settings_since,
            "history": [[entry.iteration, entry.loss, entry.grad_norm] for entry in self._history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._confirmed = Treatment.from_plain(state["confirmed"])
        self._under_test = Repair.from_plain(state["under_test"]) if state["under_test"] else None
        self._cooling_until = state["cooling_until"]
        self.settings_since = state.get("settings_since", 0)
        self._history = [Seen(iteration=i, loss=loss, grad_norm=norm) for i, loss, norm in state["history"]]

    # Judging -----------------------------------------------------------------------------------------------------

    def _fault_to_treat(self, faults: Sequence[Fault]) -> Fault | None:
        """The earliest that is worth a repair, critical ones before warnings."""
        test = self._under_test
        treatable = [
            fault
            for fault in faults
            if fault.kind in FIRST_STEP
            # What is done again up to the faulty place was judged the first time.
            and (test is None or fault.iteration >= test.onset)
            and (fault.severity == "critical" or test is not None or fault.iteration > self._cooling_until)
        ]
        return min(treatable, key=lambda fault: (fault.severity != "critical", fault.since), default=None)

    def _has_helped_until(self, test: Repair, end: int) -> bool:
        """Whether the losses after the faulty place, before iteration `end`, are at the level before it."""
        after = [entry.loss for entry in self._history if test.fault.since < entry.iteration < end]
        if test.level is None:
            return bool(after) and all(map(math.isfinite, after))
        # A learning rate that is still somewhat too high shows in losses that are somewhat too high. Where no lower one
        # would follow, they are good enough.
        strict = self._can_lower_again(test) and test.attempt < self.max_repairs
        return bool(after) and test.level.is_back(after, NEAR if strict else NEAR_ENOUGH)

    def _confirm(self, now: int) -> None:
        self._confirmed, self._under_test = self.treatment, None
        self._cooling_until = now + self.cooldown_iterations

    def _level_before(self, iteration: int) -> Level | None:
        losses = [
            entry.loss for entry in self._history if entry.iteration < iteration and math.isfinite(entry.loss)
        ]
        return Level.of(losses[-LEVEL_LENGTH:]) if losses else None

    def _place(self, fault: Fault) -> _Place:
        """Where a fault began, which may be before or after what its alert says, and the batches behind it."""
        suspects = fault.suspects or (fault.since,)
        is_high = self._high_losses(fault.since)
        first = fault.since
        if fault.kind == "loss_spike":
            # Its alert names a whole window.
            first = next((i for i, high in is_high.items() if high and i >= fault.since), first)
            suspects = (first,)
        onset = first
        while is_high.get(onset - 1, False):
            onset -= 1
            if not is_high.get(onset - 1, False):
                # The level before the rise is known only now, and shows more of it.
                is_high = self._high_losses(onset)
        rising = first - onset > 1 or (fault.kind == "loss_spike" and self._stays_high(first, is_high))
        return _Place(min(onset, *suspects), suspects, rising=rising)

    def _high_losses(self, iteration: int) -> dict[int, bool]:
        """For each iteration known, whether its loss is far above the level before `iteration`."""
        level = self._level_before(iteration)
        return {
            entry.iteration: level is not None and level.is_far_above(entry.loss) for entry in self._history
        }

    def _stays_high(self, first: int, is_high: Mapping[int, bool]) -> bool:
        """Whether losses are high from `first` on for long, or not high at all, and do not fall again."""
        losses = {entry.iteration: entry.loss for entry in self._history if entry.iteration >= first}
        last = first
        while is_high.get(last + 1, False):
            last += 1
        return not is_high.get(first, False) or (
            last - first >= LONG_RISE and not losses[last] < losses[first]
        )

    # Deciding ----------------------------------------------------------------------------------------------------

    def _first_step(self, fault: Fault, good_states: Sequence[int]) -> Decision:
        place = self._place(fault)
        index = LADDER.index(FIRST_STEP[fault.kind])
        if place.rising:
            index = max(index, LADDER.index("clip"))
        step = self._possible(index, place.onset)
        go_back_to, start = self._way_back(step, place.onset, good_states)
        return self._decide(
            Repair(
                step=step,
                attempt=1,
                fault=fault,
                onset=place.onset,
                go_back_to=go_back_to,
                skipped=frozenset(place.suspects if step == "skip" else ()),
                measure=self._measure(step, start, None),
                level=self._level_before(place.onset),
                check_until=fault.iteration + self.check_iterations,
            ),
            good_states,
            fault.iteration,
        )

    def _next_step(self, failed: Repair, fault: Fault, now: int, good_states: Sequence[int]) -> Decision:
        """What comes after a repair that did not help. What it left out stays out: bad batches may be neighbours."""
        place = self._place(fault)
        onset = min(failed.onset, place.onset)
        step = self._after(failed, onset)
        go_back_to, start = self._way_back(step, onset, good_states)
        if step == "roll_back":
            further = _newest_before(failed.go_back_to, good_states)
            go_back_to = further if further >= 0 else go_back_to
            start = go_back_to + 1
        skipped = failed.skipped | (frozenset(place.suspects) if failed.skipped else frozenset())
        return self._decide(
            replace(
                failed,
                step=step,
                attempt=failed.attempt + 1,
                fault=replace(failed.fault, since=max(failed.fault.since, fault.since)),
                onset=onset,
                go_back_to=go_back_to,
                skipped=skipped,
                measure=self._measure(step, start, failed.measure),
                check_until=now + self.check_iterations,
            ),
            good_states,
            now,
        )

    def _way_back(self, step: Step, onset: int, good_states: Sequence[int]) -> tuple[int, int]:
        """The state to go back to, and the iteration from which it is to go differently.

        A loss tells of the steps before it: of the last one at least, and where the learning rate was too high, of
        more than that. What was trained with other settings is not to blame.
        """
        ahead = {"skip": 0, "clip": 1}.get(step, self.check_iterations // 2)
        start = max(onset - ahead, min(onset, self.settings_since + 1))
        wished = _newest_before(self._first_made(start), good_states)
        if wished >= 0:
            return wished, start
        newest = _newest_before(self._first_made(onset), good_states)
        return newest, max(newest + 1, start)

    def _decide(self, repair: Repair, good_states: Sequence[int], now: int) -> Decision:
        """The repair, unless something forbids it."""
        num_skipped = len(self._confirmed.skipped | repair.skipped)
        if repair.attempt + len(self._confirmed.measures) > self.max_repairs:
            why = f"{self.max_repairs} repairs were made (monitor.max_repairs)"
        elif repair.go_back_to < 0:
            why = f"no good state from before iteration {repair.onset} is left"
        elif num_skipped > max(FEW_SKIPPED, LARGEST_SKIPPED_SHARE * now):
            why = f"{num_skipped} batches would be left out, more than 1 %: look at the data"
        else:
            return Decision(repair=repair)
        newest = _newest_before(self._first_made(repair.onset), good_states)
        return Decision(lost=replace(repair, go_back_to=newest), why=why)

    def _first_made(self, onset: int) -> int:
        """The first iteration from `onset` on that was trained on: what is left out changes nothing."""
        while self.treatment.skips(onset):
            onset += 1
        return onset

    def _after(self, failed: Repair, onset: int) -> Step:
        if self._can_lower_again(failed):
            return "lower_lr"
        return self._possible(min(LADDER.index(failed.step) + 1, len(LADDER) - 1), onset)

    @staticmethod
    def _can_lower_again(repair: Repair) -> bool:
        factor = repair.measure.lr_factor if repair.measure is not None else 1.0
        return repair.step == "lower_lr" and factor > min(LR_FACTORS)

    def _possible(self, index: int, onset: int) -> Step:
        """The step, or the one after it where it cannot be taken."""
        if LADDER[index] == "clip" and self._tighter_norm(onset) is None:
            index += 1
        return LADDER[index]

    def _measure(self, step: Step, from_iteration: int, earlier: Measure | None) -> Measure | None:
        """What `step` changes, on top of what the step before it did."""
        if step == "skip":
            return None
        earlier = earlier or Measure(from_iteration=from_iteration)
        if step == "clip":
            return replace(
                earlier, from_iteration=from_iteration, max_norm=self._tighter_norm(from_iteration)
            )
        lower = [factor for factor in LR_FACTORS if factor < earlier.lr_factor]
        return replace(
            earlier, from_iteration=from_iteration, lr_factor=max(lower, default=earlier.lr_factor)
        )

    def _tighter_norm(self, onset: int) -> float | None:
        """Half of what gradients are clipped to, but at most twice what was usual; None when neither is known."""
        norms = [
            entry.grad_norm
            for entry in self._history
            if entry.iteration < onset and entry.grad_norm is not None and math.isfinite(entry.grad_norm)
        ]
        current = self._confirmed.max_norm(onset, self.max_norm)
        choices = [2 * median(norms[-LEVEL_LENGTH:])] if any(norms[-LEVEL_LENGTH:]) else []
        choices += [current / 2] if current is not None else []
        return min(choices, default=None)


def _newest_before(iteration: int, good_states: Sequence[int]) -> int:
    return max((state for state in good_states if state < iteration), default=-1)


@dataclass(frozen=True)
class _Place:
    """Where a fault is."""

    onset: int
    suspects: tuple[int, ...]
    """Iterations whose batches may be behind it."""
    rising: bool
    """Losses rose for a while: no single batch is to blame."""
