"""Mirroring: in training, in the flip test, and in what the model makes of a mirrored image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sdpose.assemble.data import to_device
from sdpose.assemble.round_trip import chain_of
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.data.augment import Augmentation
from sdpose.data.batch import PoseBatch
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.evaluation.round_trip import Chain, perfect_heatmaps
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps

_NUM_SAMPLES = 64
_NUM_FOR_MODEL = 8
_MIRROR_ONLY = Augmentation(shift_prob=0.0, flip_prob=1.0, half_body_prob=0.0, rot_prob=0.0, scale_factor=0.0)
# Centres of crops fall on whole or half pixels, so a mirrored crop may lie one pixel beside.
_PIXELS = 1.5
_CELLS = 0.5


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """The permutation, the mirrored training samples, the flip test of perfect heatmaps, the model."""
    skeleton = preflight.dataset.table.skeleton
    index = skeleton.flip_index
    twice = [index[partner] for partner in index]
    if twice != list(range(len(index))):
        text = f"mirroring twice gives {twice}, not every joint itself"
        yield CheckLine(
            "flip permutation", "fail", text, "a joint is in two pairs: correct `swap` in dataset_info"
        )
        return
    yield CheckLine("flip permutation", "pass", "mirroring twice gives every joint back")
    plain, mirrored = _samples(preflight, None), _samples(preflight, _MIRROR_ONLY)
    yield _data_line(plain, mirrored, index)
    yield _flip_test_line(chain_of(preflight.settings, "val"), plain, preflight)
    yield _model_line(preflight, plain)


def _samples(preflight: Preflight, augmentation: Augmentation | None) -> PoseBatch:
    """The same persons, as they are or mirrored."""
    dataset = preflight.dataset
    other = PoseDataset(
        dataset.table,
        dataset.persons,
        image_size_wh=dataset.image_size_wh,
        augmentation=augmentation,
        padding=preflight.settings.data.train.pipeline.padding,
    )
    rows = np.random.default_rng(0).permutation(len(dataset))[:_NUM_SAMPLES].tolist()
    return other.__getitems__([SampleKey(0, row) for row in rows])


def _data_line(plain: PoseBatch, mirrored: PoseBatch, index: tuple[int, ...]) -> CheckLine:
    """Joints and picture of a mirrored sample against those of the plain one, turned over."""
    name, width = "mirrored samples", plain.images.shape[2]
    both = (plain.visible > 0) & (mirrored.visible[:, list(index)] > 0)
    if not both.any():
        return CheckLine(name, "warn", "no sample has a labelled joint", "see the lines about images")
    turned = mirrored.joints[:, list(index)].clone()
    turned[..., 0] = width - turned[..., 0]
    distance = float((turned - plain.joints).norm(dim=2)[both].max())
    # Left and right columns exchanged, then one column of play.
    picture = mirrored.images.flip(2).float()
    difference = float(
        min((picture.roll(shift, 2) - plain.images.float()).abs().mean() for shift in (-1, 0, 1))
    )
    text = f"joints come back within {distance:.2f} pixels, pictures within {difference:.1f} grey levels"
    if distance > _PIXELS:
        return CheckLine(name, "fail", text, "this is a fault of sdpose: please report it with your config")
    return CheckLine(name, "pass", text)


def _flip_test_line(chain: Chain, plain: PoseBatch, preflight: Preflight) -> CheckLine:
    """Perfect heatmaps of mirrored crops, turned back: how far are they from the plain ones?"""
    name = "flip test"
    if not chain.flip_test:
        return CheckLine(name, "pass", "off (model.test_cfg.flip_test=False)")
    skeleton = preflight.dataset.table.skeleton
    heatmaps = perfect_heatmaps(plain.joints, plain.visible, skeleton, chain)
    coords, scores = decode_heatmaps(heatmaps, post_process=chain.post_process, kernel=chain.kernel)
    cell = torch.tensor(chain.image_size_wh) / torch.tensor(chain.heatmap_size_wh)
    truth = plain.joints / cell
    inside = (truth >= 2).all(2) & (truth < torch.tensor(chain.heatmap_size_wh) - 2).all(2)
    shown = (plain.visible > 0) & inside & (scores > 0)
    if not shown.any():
        return CheckLine(
            name, "warn", "no sample shows a joint", "see the lines about images and annotations"
        )
    error = float((coords - truth).norm(dim=2)[shown].mean())
    text = f"perfect heatmaps and their mirror images agree within {error:.2f} cells"
    if error > _CELLS or not chain.shift_heatmap:
        cure = "model.test_cfg.shift_heatmap=True brings mirrored maps back to a quarter of a cell"
        return CheckLine(name, "warn", text, cure, {"cells": error})
    return CheckLine(name, "pass", text, measured={"cells": error})


def _model_line(preflight: Preflight, plain: PoseBatch) -> CheckLine:
    """Only trained weights know left from right; untrained ones say nothing about the pairs."""
    name = "flip symmetry"
    if not preflight.has_weights:
        text = (
            "the model starts untrained, so mirrored images say nothing yet; with load_from this is compared"
        )
        return CheckLine(name, "pass", text)
    right, without = _agreement(preflight, plain)
    text = f"heatmaps of mirrored images agree to {right:.2f} with the pairs, to {without:.2f} without"
    measured = {"with_pairs": right, "without_pairs": without}
    if right < without:
        cure = "the weights were trained with other mirror pairs or another order of joints than dataset_info says"
        return CheckLine(name, "fail", text, cure, measured)
    return CheckLine(name, "pass", text, measured=measured)


@torch.inference_mode()
def _agreement(preflight: Preflight, plain: PoseBatch) -> tuple[float, float]:
    """Mean correlation of heatmaps with those of mirrored images, turned back with the pairs and without."""
    trainee = preflight.trainee()
    trainee.model.eval()
    images = to_device(plain, preflight.machine.device).images[:_NUM_FOR_MODEL]
    with preflight.machine.autocast():
        maps = trainee.model(trainee.normalize(images)).float()
        turned = trainee.model(trainee.normalize(images.flip(2))).float()
    index = preflight.dataset.table.skeleton.flip_index
    shift = preflight.settings.model.test_cfg.shift_heatmap
    paired = flip_heatmaps(turned, index, shift=shift)
    unpaired = flip_heatmaps(turned, range(len(index)), shift=shift)
    sided = [joint for joint, partner in enumerate(index) if partner != joint]
    return _correlation(maps[:, sided], paired[:, sided]), _correlation(maps[:, sided], unpaired[:, sided])


def _correlation(one: Tensor, other: Tensor) -> float:
    """Mean over samples and joints of the correlation over cells."""
    a, b = one.flatten(2), other.flatten(2)
    a, b = a - a.mean(2, keepdim=True), b - b.mean(2, keepdim=True)
    return float(torch.nn.functional.cosine_similarity(a, b, dim=2).mean())
