"""Everything that training changes, and copies of it to which a run can go back."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sdpose.training.checkpoint import Checkpoint, model_state
from sdpose.training.optim import load_optimizer_state, neutral_state, optimizer_state
from sdpose.training.probes import ProbeWindow
from sdpose.training.progress import Progress
from sdpose.training.random_state import random_state, restore_random_state
from sdpose.training.treatment import Treatment


@dataclass(frozen=True)
class StoredState:
    """A state on the CPU, as this process's part of a checkpoint holds it."""

    progress: Progress
    model: Mapping[str, Tensor]
    optimizer: dict[str, Any]
    window: Mapping[str, Any]
    random: Mapping[str, Any]
    monitor: Mapping[str, Any]
    pending_evaluation: bool = False

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, rank: int) -> StoredState:
        """The part of `rank` in a checkpoint of ours that has as many processes."""
        assert checkpoint.resume is not None and checkpoint.optimizer is not None
        saved = checkpoint.resume
        return cls(
            progress=Progress(checkpoint.epoch, saved["batch"], checkpoint.iteration),
            model=checkpoint.state_dict,
            optimizer=checkpoint.optimizer,
            window=saved["windows"][rank],
            random=saved["random_states"][rank],
            monitor=saved["monitor"],
            pending_evaluation=saved["pending_evaluation"],
        )


@dataclass
class TrainingState:
    """What an iteration reads and changes, the monitor aside. The model is the bare one, without DDP's wrapper."""

    model: nn.Module
    optimizer: Optimizer
    device: torch.device
    progress: Progress = field(default_factory=Progress)
    window: ProbeWindow = field(default_factory=ProbeWindow)
    treatment: Treatment = field(default_factory=Treatment)
    """Not part of what is stored here: going back does not undo a repair."""
    pending_evaluation: bool = False
    """The epoch just finished is still to be evaluated."""

    def store(self, monitor: Mapping[str, Any]) -> StoredState:
        """A copy of the state as it is; `monitor` is the monitor's own, as plain data."""
        return StoredState(
            progress=replace(self.progress),
            model=model_state(self.model),
            optimizer=optimizer_state(self.optimizer),
            window=self.window.state_dict(),
            random=random_state(self.device),
            monitor=monitor,
            pending_evaluation=self.pending_evaluation,
        )

    def go_to(self, stored: StoredState) -> None:
        """Make everything what it was then."""
        self.model.load_state_dict(dict(stored.model))
        load_optimizer_state(self.optimizer, stored.optimizer, source="the state to go back to")
        self.optimizer.zero_grad(set_to_none=True)
        self.window.load_state_dict(stored.window)
        restore_random_state(stored.random, self.device)
        self.progress.move_to(stored.progress)
        self.pending_evaluation = stored.pending_evaluation


class StateCopy:
    """A copy of a training state, taken again and again into the same memory.

    It needs as much as weights and optimizer together: 12 bytes a parameter with Adam, on the model's device or, with
    `on_host`, in the machine's memory. Taking one waits for nothing when it stays on the device.
    """

    def __init__(self, state: TrainingState, *, on_host: bool = False) -> None:
        self._state = state
        self._device = torch.device("cpu") if on_host else None
        self._model: dict[str, Any] = {}
        self._entries: dict[tuple[Any, str], Any] = {}
        self._groups: list[dict[str, Any]] = []
        self._window: dict[str, Any] = {}
        self._random: dict[str, Any] = {}
        self._monitor: dict[str, Any] = {}
        self.progress = Progress()

    @property
    def iteration(self) -> int:
        """Finished iterations of the copied state."""
        return self.progress.iteration

    def take(self, monitor: Mapping[str, Any]) -> None:
        """Copy the state as it is now; `monitor` is the monitor's own, as plain data."""
        state = self._state
        optimizer = state.optimizer.state_dict()
        self.progress = replace(state.progress)
        self._model = self._copied(dict(state.model.state_dict()), self._model)
        self._entries = self._copied(
            {(index, name): v for index, entry in optimizer["state"].items() for name, v in entry.items()},
            self._entries,
        )
        self._groups = copy.deepcopy(optimizer["param_groups"])
        self._window = state.window.state_dict()
        self._random = random_state(state.device)
        # Not shared with the monitor, whatever its hooks hand out.
        self._monitor = copy.deepcopy(dict(monitor))

    def stored(self) -> StoredState:
        """The copy as a checkpoint holds it."""
        entries: dict[Any, dict[str, Any]] = {}
        for (index, name), value in self._entries.items():
            entries.setdefault(index, {})[name] = value
        model = OrderedDict((name, tensor.to("cpu", copy=True)) for name, tensor in self._model.items())
        # Versions of the modules' own formats, as in `model_state`.
        model._metadata = getattr(self._state.model.state_dict(), "_metadata", OrderedDict())  # type: ignore[attr-defined]
        return StoredState(
            progress=replace(self.progress),
            model=model,
            optimizer=neutral_state({"state": entries, "param_groups": self._groups}),
            window=self._window,
            random=self._random,
            monitor=copy.deepcopy(self._monitor),
        )

    @torch.no_grad()
    def _copied(self, live: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
        """The values of `live`, in the memory of `own` where that has the same entries."""
        held = [key for key, v in live.items() if isinstance(v, Tensor) and isinstance(own.get(key), Tensor)]
        # In one call a kind of number: a mixed list is copied tensor by tensor.
        for dtype in {live[key].dtype for key in held}:
            keys = [key for key in held if live[key].dtype == dtype]
            torch._foreach_copy_([own[key] for key in keys], [live[key] for key in keys])
        return {key: own[key] if key in held else self._clone(value) for key, value in live.items()}

    def _clone(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.detach().to(self._device or value.device, copy=True)
