"""What a hook is, and what it is told about the run. Users derive their own hooks from `Hook`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpose.monitor.alert import Alert
from sdpose.monitor.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of a run before it starts; advice is made concrete with it. None: unknown or without."""

    name: str = "run"
    """Of the run, such as sdpose_s_v1_1024_baseline."""
    variant: str | None = None
    """Of the model, such as sdpose_s_v1."""
    config_path: str | None = None
    """As the user typed it, so that commands in advice can be copied."""
    work_dir: Path | None = None
    """Where files are left. None writes none (ranks other than 0)."""
    total_epochs: int | None = None
    epoch_length: int | None = None
    """Optimizer iterations an epoch has."""
    iterations: int | None = None
    """Of the whole run, where it is not counted in epochs."""
    start_iteration: int = 0
    """Iterations finished before this process started; more than 0 after a resume."""
    seed: int | None = None
    lr: float | None = None
    """The base learning rate of the config."""
    warmup_iterations: int = 0
    """0: no warm-up."""
    max_norm: float | None = None
    """Of gradient clipping; None when there is none."""
    samples_per_gpu: int | None = None
    workers_per_gpu: int | None = None
    num_processes: int = 1
    evaluation_interval: int | None = None
    """Epochs between evaluations."""
    checkpoint_interval: int | None = None
    """Epochs between checkpoints epoch_N.pth."""
    checkpoint_mib: float | None = None
    """What one checkpoint needs on the disk."""
    saves_best: bool = True
    """Whether the best evaluation is kept as best_AP_epoch_N.pth."""
    cooldown_iterations: int | None = None
    """Iterations before a lasting fault is said again; None: ten checks."""
    language: str | None = None
    """"en" or "ko"; None: from the locale."""

    @property
    def total_iterations(self) -> int | None:
        """Of the whole run, resumed parts included."""
        if self.iterations is not None or not self.total_epochs or not self.epoch_length:
            return self.iterations
        return self.total_epochs * self.epoch_length


class Hook:
    """Something that follows a run: records in, alerts out. Every method may be left as it is.

    A method returns the alerts it raises, or None. It may write lines with `self.log`; the run puts its own
    function there. A hook that raises is reported once and switched off; training goes on.
    """

    log: Callable[[str], None] = staticmethod(logging.getLogger("sdpose.monitor").info)

    def on_run_start(self, facts: RunFacts) -> Sequence[Alert] | None:
        """Before the first iteration of this process. A saved state has been loaded by then."""

    def on_iterations(self, records: Sequence[Record]) -> Sequence[Alert] | None:
        """The train records since the last call, oldest first, never empty."""

    def on_evaluation(self, record: Record) -> Sequence[Alert] | None:
        """One evaluation."""

    def on_run_end(self, reason: str) -> Sequence[Alert] | None:
        """After the last iteration; `reason` says why: finished, interrupted, failed ..."""

    def state_dict(self) -> dict[str, Any]:
        """What an exact resume needs, as plain data: str, int, float, bool, None, lists and dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
