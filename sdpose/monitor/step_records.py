"""Makes records of what a plain loop says of a step: `step=120, loss=0.41, val_acc=0.83`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

from sdpose.monitor.record import Mode, Record
from sdpose.monitor.roles import Role, main_loss, role_of


class StepRecords:
    """Tells training from validation by names, and counts iterations over the whole run.

    Steps may be counted from the start of the run or anew in every epoch, from 0 or from 1, and need not be all: a
    step that is lower than the one before begins the next epoch.
    """

    def __init__(self, *, score: str | None = None, epoch_length: int | None = None) -> None:
        """`score`: a name that belongs to the validation whatever it sounds like."""
        self._score = score
        self.epoch_length = epoch_length
        self._iteration = 0
        self._offset = 0
        self._step: int | None = None
        self._epoch = 0

    def records(
        self, step: int | None, epoch: float | None, values: Mapping[str, Any], val: Mapping[str, Any] | None
    ) -> list[Record]:
        """A train record, a val record, or both; ValueError for what is no number.

        A name that says so ("val_loss", "eval/acc", "test_f1") belongs to the validation, as all of `val` does.
        """
        train = {
            name: value
            for name, value in values.items()
            if _role(name).split == "train" and name != self._score
        }
        evaluated = {name: value for name, value in values.items() if name not in train} | dict(val or {})
        if train:
            self._count(step)
        elif step is not None and (self._step is None or step >= self._step):
            # An evaluation never begins an epoch: some loops count it in epochs.
            self._iteration = self._offset + _whole(step)
        if epoch is not None:
            self._epoch = _epoch(epoch)
        elif self.epoch_length:
            self._epoch = max(0, self._iteration - 1) // self.epoch_length + 1
        found = [self._record("train", _worth_watching(_with_total(train)))] if train else []
        return [*found, self._record("val", evaluated)] if evaluated else found

    def _count(self, step: int | None) -> None:
        if step is None:
            raise ValueError(
                "observe() got values of the training, but no step: observe(step=step, loss=...)"
            )
        number = _whole(step)
        if self._step is not None and number < self._step:
            self._offset = self._iteration + (number == 0)
            self._epoch += 1 if self._epoch else 2
        self._step = number
        self._iteration = self._offset + number

    def _record(self, mode: Mode, values: Mapping[str, Any]) -> Record:
        iteration, length = self._iteration, self.epoch_length or 0
        return Record(
            mode=mode,
            epoch=self._epoch,
            iteration=iteration,
            epoch_iteration=max(0, iteration - 1) % length + 1 if length else iteration,
            epoch_length=length,
            values=values,
            time=time.time(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "iteration": self._iteration,
            "offset": self._offset,
            "step": self._step,
            "epoch": self._epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._iteration, self._offset = state["iteration"], state["offset"]
        self._step, self._epoch = state["step"], state["epoch"]


def _whole(step: object) -> int:
    if isinstance(step, bool) or not isinstance(step, Integral) or int(step) < 0:
        raise ValueError(f"step is {_shown(step)}; expected a whole number of at least 0")
    return int(step)


def _epoch(epoch: object) -> int:
    if isinstance(epoch, bool) or not isinstance(epoch, Real) or not 0 <= float(epoch) < math.inf:
        raise ValueError(f"epoch is {_shown(epoch)}; expected a number of at least 0")
    return int(float(epoch))


def _shown(value: object) -> str:
    # Printing a tensor would wait for the device.
    return repr(value) if isinstance(value, Real | str) else f"a {type(value).__name__}"


@lru_cache(maxsize=1024)
def _role(name: str) -> Role:
    return role_of(name, "train")


@lru_cache(maxsize=256)
def _terms_without_total(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `names` that together are the loss (`box_loss`, `cls_loss`); empty where one is the total."""
    losses = tuple(name for name in names if _role(name).meaning == "loss")
    return () if len(losses) < 2 or main_loss(losses, "train") is not None else losses


def _with_total(values: dict[str, Any]) -> dict[str, Any]:
    terms = _terms_without_total(tuple(values))
    if not terms or not all(isinstance(values[name], Real) for name in terms):
        return values  # what is no number is for the record to refuse
    return {**values, "loss": sum(float(values[name]) for name in terms)}


def _worth_watching(values: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody calls a fault when it is not finite: the throughput of a first step, an undefined score."""
    return {name: value for name, value in values.items() if _tells_of_faults(name) or _is_finite(value)}


def _tells_of_faults(name: str) -> bool:
    return _role(name).meaning in ("loss", "error") or "norm" in name or "weight" in name


def _is_finite(value: object) -> bool:
    return not isinstance(value, Real) or math.isfinite(value)
