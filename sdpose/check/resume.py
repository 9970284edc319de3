"""Save, load into fresh objects, go on: is the next step the same to the last bit?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdpose.check.line import CheckLine, listed
from sdpose.check.preflight import Preflight
from sdpose.check.trainee import Trainee
from sdpose.data.batch import PoseBatch
from sdpose.data.loader import TrainLoader
from sdpose.errors import SdposeError
from sdpose.training.atomic_file import StorageError
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, make_meta, model_state, save_checkpoint
from sdpose.training.disk_space import shown_bytes
from sdpose.training.optim import load_optimizer_state, optimizer_state
from sdpose.training.random_state import random_state, restore_random_state

_STEPS_BEFORE = 2
_SAMPLES = 2


@dataclass(frozen=True)
class _After:
    """Everything that the step after the save left."""

    losses: dict[str, Tensor]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    drawn: Tensor
    """The next random numbers."""


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Two steps, a checkpoint, one step more; then that step again from the file."""
    state_before = random_state(preflight.machine.device)
    try:
        with tempfile.TemporaryDirectory(prefix="sdpose-check-") as folder:
            yield _compare(preflight, Path(folder) / "iter_2.pth")
    except StorageError as error:
        cure = "free space for temporary files, or name another folder: TMPDIR=/path"
        yield CheckLine("resume", "fail", str(error), cure)
    finally:
        restore_random_state(state_before, preflight.machine.device)


def _compare(preflight: Preflight, path: Path) -> CheckLine:
    preflight.show("saving, loading, going on", 0, 3)
    trainee = preflight.trainee()
    batches = _batches(preflight)
    for number in range(_STEPS_BEFORE):
        trainee.step(batches[number])
    _save(preflight, trainee, path)
    size = path.stat().st_size
    preflight.show("saving, loading, going on", 1, 3)
    straight = _one_more(preflight, trainee, batches[_STEPS_BEFORE])
    preflight.show("saving, loading, going on", 2, 3)
    resumed = _resumed(preflight, path)
    differences = _differences(straight, resumed)
    text = f"checkpoint of {shown_bytes(size)} written, verified and loaded into fresh objects"
    if not differences:
        compared = len(straight.model) + len(straight.optimizer)
        text += f"; the next step is the same to the last bit ({compared} tensors)"
        return CheckLine("resume", "pass", text)
    # From the same file twice: if these differ too, the device itself does not repeat its sums.
    again = _differences(resumed, _resumed(preflight, path))
    if again:
        text += f"; but this device gives other bits each time ({listed(again)})"
        return CheckLine("resume", "warn", text, "train with --deterministic if resuming has to be exact")
    text += f"; after the next step differ: {listed(differences)}"
    return CheckLine("resume", "fail", text, "this is a fault of sdpose: please report it with your config")


def _batches(preflight: Preflight) -> list[PoseBatch]:
    """What the loader gives first, as it would after a resume: made again from its place in the epoch."""
    loader = TrainLoader(preflight.dataset, _SAMPLES, num_workers=0, seed=0)
    found = []
    for epoch in range(_STEPS_BEFORE + 1):
        for batch in loader.batches(epoch):
            found.append(batch)
            if len(found) > _STEPS_BEFORE:
                return found
    raise SdposeError("the training set is too small for three batches; it needs more persons")


def _save(preflight: Preflight, trainee: Trainee, path: Path) -> None:
    checkpoint = Checkpoint(
        meta=make_meta(
            epoch=0,
            iteration=_STEPS_BEFORE,
            seed=0,
            env_info="",
            config_text=preflight.settings.python_text(),
        ),
        state_dict=model_state(trainee.model),
        optimizer=optimizer_state(trainee.optimizer),
        resume={"batch": _STEPS_BEFORE, "random_states": [random_state(preflight.machine.device)]},
    )
    save_checkpoint(path, checkpoint)


def _resumed(preflight: Preflight, path: Path) -> _After:
    checkpoint = load_checkpoint(path)
    assert checkpoint.resume is not None and checkpoint.optimizer is not None
    trainee = preflight.trainee()
    trainee.model.load_state_dict(dict(checkpoint.state_dict))
    load_optimizer_state(trainee.optimizer, checkpoint.optimizer, source=str(path))
    batch = _batches(preflight)[checkpoint.resume["batch"]]
    restore_random_state(checkpoint.resume["random_states"][0], preflight.machine.device)
    return _one_more(preflight, trainee, batch)


def _one_more(preflight: Preflight, trainee: Trainee, batch: PoseBatch) -> _After:
    values = trainee.step(batch)
    state = optimizer_state(trainee.optimizer)["state"]
    return _After(
        losses={name: value.detach().cpu() for name, value in values.terms.items()},
        model=dict(model_state(trainee.model)),
        optimizer={
            f"{name} of parameter {index}": value
            for index, entry in state.items()
            for name, value in entry.items()
            if isinstance(value, Tensor)
        },
        drawn=torch.rand(4),
    )


def _differences(one: _After, other: _After) -> list[str]:
    """Names of what is not the same to the last bit."""
    found = []
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (one.losses, other.losses),
        (one.model, other.model),
        (one.optimizer, other.optimizer),
        ({"random numbers": one.drawn}, {"random numbers": other.drawn}),
    ]
    for ours, theirs in pairs:
        if ours.keys() != theirs.keys():
            found.append("what there is to compare")
        found += [name for name in ours if name in theirs and not torch.equal(ours[name], theirs[name])]
    return found
