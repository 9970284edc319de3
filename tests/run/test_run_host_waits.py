"""In a real run nothing between two logging intervals asks a tensor for its value: on a GPU that would wait for it."""

from __future__ import annotations

from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import write_config
from torch.utils._python_dispatch import TorchDispatchMode

import sdpose.assemble.schedule as assembled
from sdpose.config.settings import load_settings
from sdpose.fit import FitOptions, SilentConsole, fit
from sdpose.run import Run
from sdpose.training.loop import TrainingLoop
from sdpose.training.optim import build_optimizer
from sdpose.training.probes import ProbeWindow


class Watch(TorchDispatchMode):
    """Notes the operations that wait for the device, or would if their tensors were on one."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "bincount")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.num_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.num_operations += 1
        has_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in self.WAITING or has_mask:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


def test_the_watch_sees_what_waits() -> None:
    values = torch.arange(3.0)
    with Watch() as watch:
        float(values[0]), bool(values[1] > 0), values[values > 0], values.nonzero(), values.unique()
    assert watch.waits == ["_local_scalar_dense", "_local_scalar_dense", "index", "nonzero", "_unique2"]


def test_iterations_between_two_log_lines_ask_for_nothing(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()

    def watched(owner: type, name: str) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            with watch:
                return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, method)

    watched(TrainingLoop, "_step")
    watched(ProbeWindow, "add")
    watched(Run, "batch_loaded")
    watched(Run, "iteration_finished")
    # The kernels that CUDA gets; the others read step counts, which live on the host.
    monkeypatch.setattr(assembled, "build_optimizer", partial(build_optimizer, fused=True))
    config = write_config(tmp_path, people, extra="log_config = dict(interval=4)\ntotal_epochs = 1\n")
    outcome = fit(load_settings(config), FitOptions(seed=1, device="cpu"), SilentConsole())
    assert outcome.exit_code == 0
    assert watch.num_operations > 1000
    assert watch.waits == []
