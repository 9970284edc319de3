"""Can the model learn at all? It must be able to learn eight samples by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from sdpose.assemble.data import training_targets
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.check.time_box import TimeBox, shown_duration
from sdpose.check.trainee import Trainee
from sdpose.data.batch import PoseBatch
from sdpose.data.dataset import PoseDataset, SampleKey

_NUM_SAMPLES = 8
_LR = 1e-3
_NUM_STEPS = 1000
_FEWEST_STEPS = 20
_LOOK_EVERY = 10
# Learning takes longer than measuring.
_TIMES_THE_BOX = 2
# Of the loss of empty heatmaps. One answer for all samples, the mean pose, leaves 0.8; nothing learnt leaves 1.
_LEARNT, _LEARNING = 0.5, 0.95


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Train on eight samples without augmentation until the heatmap loss has fallen to half that of empty maps."""
    batch = _samples(preflight)
    trainee = preflight.trainee(lr=_LR)
    trainee.max_norm = min(trainee.max_norm, 5.0)
    empty = _loss_of_empty_maps(preflight, trainee, batch)
    if empty == 0:
        text = "the samples have no joint in their crops, so there is nothing to learn"
        yield CheckLine("overfit", "fail", text, "see the lines about images and labels")
        return
    box = TimeBox(_TIMES_THE_BOX * preflight.options.time_box_s)
    first, last, steps = math.nan, math.inf, 0
    wanted = _LEARNT * empty
    while steps == 0 or (steps < _NUM_STEPS and last > wanted and box.has(box.elapsed_s / steps)):
        values = trainee.step(batch)
        steps += 1
        if steps % _LOOK_EVERY == 1 or box.elapsed_s > 0.5 * box.seconds or not preflight.on_gpu:
            last = float(values.terms["heatmap_loss"].detach())
            if steps == 1:
                first, wanted = last, min(wanted, _LEARNT * last)
            if not math.isfinite(last):
                text = (
                    f"the heatmap loss is {last} after {steps} steps on {len(batch)} samples with lr {_LR:g}"
                )
                yield CheckLine(
                    "overfit", "fail", text, "look at the lines about the forward pass and the data"
                )
                return
            preflight.show("learning 8 samples by heart", steps, _NUM_STEPS)
        if steps == 2 and box.seconds / box.elapsed_s * steps < _FEWEST_STEPS:
            break  # so few steps decide nothing; the time is better saved
    yield _verdict(len(batch), first, last, empty, wanted, steps, box.seconds)


def _verdict(
    samples: int, first: float, last: float, empty: float, wanted: float, steps: int, allowed_s: float
) -> CheckLine:
    text = (
        f"{samples} samples: heatmap loss {first:.4g} -> {last:.4g} in {steps} steps, {last / empty:.2f} of that of "
        "empty maps"
    )
    measured = {"steps": steps, "first_loss": first, "last_loss": last, "loss_of_empty_maps": empty}
    if last <= wanted:
        return CheckLine("overfit", "pass", text, measured=measured)
    if steps < _NUM_STEPS:
        text += f"; a time box of {shown_duration(allowed_s)} is too short to reach {wanted / empty:.2f}"
        cure = "not decided: give it more with --time-box 600, or ask on a GPU"
        return CheckLine("overfit", "warn", text, cure, measured)
    cure = "the model does not learn even these: look at the picture, the loss weights, and whether images are black"
    return CheckLine("overfit", "warn" if last < _LEARNING * empty else "fail", text, cure, measured)


def _samples(preflight: Preflight) -> PoseBatch:
    """Persons with many labelled joints, spread over the set, one an image where possible, without augmentation."""
    dataset = preflight.dataset
    plain = PoseDataset(
        dataset.table,
        dataset.persons,
        image_size_wh=dataset.image_size_wh,
        augmentation=None,
        padding=preflight.settings.data.train.pipeline.padding,
    )
    num_labelled = dataset.persons.visible.sum(1)
    many = np.flatnonzero(num_labelled >= np.quantile(num_labelled, 0.6))
    rows = np.random.default_rng(0).permutation(many)[:_NUM_SAMPLES].tolist()
    return plain.__getitems__([SampleKey(0, row) for row in rows])


@torch.no_grad()
def _loss_of_empty_maps(preflight: Preflight, trainee: Trainee, batch: PoseBatch) -> float:
    """The heatmap loss of a model that answers nothing, the sum over its cycles."""
    target, weight = training_targets(preflight.settings, batch.to(preflight.machine.device))
    one_cycle = trainee.criterion.heatmap(torch.zeros_like(target), target, weight)
    return float(one_cycle) * trainee.model.cycle_num
