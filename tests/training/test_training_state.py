"""Going back to a copy is as if nothing had happened since; to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_samples import TinyNet, train, trained

from sdpose.training.checkpoint import Checkpoint, load_checkpoint, make_meta, save_checkpoint
from sdpose.training.good_states import GoodStates
from sdpose.training.optim import build_optimizer
from sdpose.training.probes import HostValues
from sdpose.training.state import StateCopy, StoredState, TrainingState

CPU = torch.device("cpu")


def state_of(model: TinyNet, optimizer: torch.optim.Optimizer, iteration: int = 2) -> TrainingState:
    state = TrainingState(model, optimizer, CPU)
    state.progress.iteration = state.progress.batch = iteration
    host = HostValues(iteration=2, batch=2, num_samples=4, lr=0.1, lr_expected=0.1, elapsed_s=1.0, data_s=0.1)
    state.window.add({"loss": torch.tensor(0.5)}, {"heatmap_peak": torch.tensor(0.9)}, host)
    return state


def everything(state: TrainingState) -> list[Any]:
    stored = state.store({})
    tensors = [*stored.model.items()]
    tensors += [
        (f"{index}.{name}", value)
        for index, entry in stored.optimizer["state"].items()
        for name, value in entry.items()
    ]
    plain = [(name, value.tolist() if isinstance(value, torch.Tensor) else value) for name, value in tensors]
    window = [row.tolist() for row in stored.window["rows"]], stored.window["host"]
    return [
        plain,
        window,
        stored.random["cpu"].tolist(),
        stored.progress.to_json(),
        stored.pending_evaluation,
    ]


def go_on(state: TrainingState) -> None:
    train(state.model, state.optimizer, steps=3, first=10)
    torch.rand(5)
    state.window.drain()
    state.progress.iteration += 3
    state.pending_evaluation = True


OPTIMIZERS = [
    {"type": "Adam"},
    {"type": "AdamW", "amsgrad": True},
    {"type": "SGD", "lr": 0.01},
    {"type": "SGD", "lr": 0.01, "momentum": 0.9},
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["Adam", "amsgrad", "SGD", "momentum"])
@pytest.mark.parametrize("steps", [0, 2], ids=["fresh", "trained"])
@pytest.mark.parametrize("on_host", [False, True])
def test_back_and_on_is_the_same_as_on(optimizer: dict[str, Any], steps: int, on_host: bool) -> None:
    state = state_of(*trained(steps=steps, **optimizer))
    copy = StateCopy(state, on_host=on_host)
    copy.take({"seen": [1]})
    before = everything(state)
    go_on(state)
    expected = everything(state)
    assert expected != before
    for _ in range(2):
        state.go_to(copy.stored())
        assert everything(state) == before
        go_on(state)
        assert everything(state) == expected


def test_a_copy_is_taken_again_in_the_same_memory() -> None:
    state = state_of(*trained())
    copy = StateCopy(state)
    copy.take({})
    where = {name: tensor.data_ptr() for name, tensor in copy._model.items()}
    go_on(state)
    copy.take({})
    assert {name: tensor.data_ptr() for name, tensor in copy._model.items()} == where
    expected = everything(state)
    go_on(state)
    state.go_to(copy.stored())
    assert everything(state)[:4] == expected[:4]


def test_a_copy_shares_nothing_with_the_monitor() -> None:
    state, seen = state_of(*trained()), {"losses": [1.0]}
    copy = StateCopy(state)
    copy.take(seen)
    seen["losses"].append(2.0)
    assert copy.stored().monitor == {"losses": [1.0]}
    copy.stored().monitor["losses"].append(3.0)
    assert copy.stored().monitor == {"losses": [1.0]}


def test_a_copy_survives_a_checkpoint(tmp_path: Path) -> None:
    state = state_of(*trained())
    copy = StateCopy(state)
    copy.take({"seen": 7})
    stored = copy.stored()
    checkpoint = Checkpoint(
        make_meta(epoch=0, iteration=2, seed=1, env_info="", config_text=""),
        stored.model,
        stored.optimizer,
        {
            "batch": 2,
            "windows": [stored.window],
            "random_states": [stored.random],
            "monitor": stored.monitor,
            "pending_evaluation": False,
        },
    )
    save_checkpoint(tmp_path / "before.pth", checkpoint)
    before = everything(state)
    go_on(state)
    state.go_to(StoredState.of_checkpoint(load_checkpoint(tmp_path / "before.pth"), rank=0))
    assert everything(state) == before


def test_the_newest_and_some_older_states_are_kept() -> None:
    model = TinyNet()
    state = TrainingState(model, build_optimizer(model, type="SGD", lr=0.1), CPU)
    good = GoodStates(state, num_recent=2, anchor_iterations=20)
    assert good.newest() is None and good.iterations == []
    kept = []
    for iteration in range(0, 70, 10):
        state.progress.iteration = iteration
        good.keep({}, quiet=iteration != 40)
        kept.append(good.iterations)
    assert kept == [[0], [0, 10], [0, 10, 20], [0, 20, 30], [0, 20, 30, 40], [20, 40, 50], [20, 50, 60]]
    good.drop_after(50)
    assert good.iterations == [20, 50]
    assert good.at(50) is not None and good.at(60) is None
    newest = good.newest()
    assert newest is not None and newest.iteration == 50
