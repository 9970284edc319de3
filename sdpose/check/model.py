"""The guide's checklist: the forward pass works, the losses are no NaN or Inf, all of them are computed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from sdpose.assemble.model import model_spec_from_settings, variant_name
from sdpose.check.line import CheckLine, listed
from sdpose.check.preflight import Preflight
from sdpose.check.trainee import Trainee, random_batch, timed
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.errors import SdposeError
from sdpose.models import CycleOutput


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Build the model, train it for a few iterations, and look at everything that can be looked at."""
    model = preflight.start_model
    yield from (CheckLine("weights", "pass", note) for note in preflight.weight_notes)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    name = variant_name(model_spec_from_settings(preflight.settings)) or "a model of your own sizes"
    yield CheckLine(
        "model built",
        "pass",
        f"{name}, {trainable / 1e6:.2f} M trainable parameters, {model.cycle_num} cycles",
        measured={"trainable_parameters": trainable},
    )
    trainee = preflight.trainee()
    batches = _training_batches(preflight)
    try:
        first = next(batches)
        yield _normalisation_line(trainee, first)
    except SdposeError:
        yield CheckLine("training data", "warn", "not usable, so the model is tried on random crops instead")
        batches = _random_batches(preflight)
        first = next(batches)
    yield from _iterations(preflight, trainee, first, batches)


def _training_batches(preflight: Preflight) -> Iterator[PoseBatch]:
    yield from preflight.batches(preflight.batch_size)


def _random_batches(preflight: Preflight) -> Iterator[PoseBatch]:
    seed = 0
    while True:
        yield random_batch(preflight.settings, preflight.batch_size, seed)
        seed += 1


def _iterations(
    preflight: Preflight, trainee: Trainee, batch: PoseBatch, batches: Iterator[PoseBatch]
) -> Iterator[CheckLine]:
    settings, number_of_iterations = preflight.settings, preflight.options.iterations
    history: list[dict[str, float]] = []
    unreached: list[str] = []
    problems: dict[str, None] = {}
    durations: list[float] = []
    for number in range(1, number_of_iterations + 1):
        preflight.show("training iterations", number - 1, number_of_iterations)
        problems.update((problem, None) for problem in batch.problems if problem)
        step = _Step(trainee, batch)
        durations.append(timed(preflight.machine, step.forward_and_backward))
        if number == 1:
            yield _forward_line(step.cycles)
            unreached = _unreached(trainee)
        history.append(step.values)
        yield _iteration_line(number, number_of_iterations, step.values, settings)
        if not _finite(step.values):
            break
        update_s, norm = step.update(preflight)
        durations[-1] += update_s
        if not math.isfinite(norm):
            yield CheckLine(
                "gradients", "fail", f"their norm is {norm}", "lower optimizer.lr or clip tighter"
            )
            break
        if number < number_of_iterations:
            batch = next(batches)
    # The first one allocates memory and, on a GPU, chooses kernels.
    preflight.note_step(sorted(durations[1:] or durations)[len(durations[1:]) // 2], len(batch))
    yield _terms_line(settings, history[-1])
    yield CheckLine(
        "gradients",
        "warn" if unreached else "pass",
        f"{len(unreached)} parameters get no gradient: {listed(unreached)}"
        if unreached
        else "reach every parameter",
        "they will not learn; a loss weight of 0 or a constant image can be the reason" if unreached else "",
    )
    if len(history) > 1 and all(map(_finite, history)):
        yield _learning_line(history)
    if problems:
        yield CheckLine(
            "images",
            "fail",
            f"{len(problems)} unusable in these batches, first: {next(iter(problems))}",
            _MEND,
        )


# With the published weights 0.1 % at the start and 1 % after ten iterations.
_TOKEN_SHARE = 0.1
# Photographs with the published numbers: mean -0.3 to 0.3 and spread 1.0 to 1.3; less where crops are half black.
_MEAN, _SPREAD = 2.0, (0.35, 4.0)
_MEND = "mend them or take them out of the annotation file"


class _Step:
    """One iteration in parts, so that each can be looked at."""

    def __init__(self, trainee: Trainee, batch: PoseBatch) -> None:
        self.trainee = trainee
        self.batch = batch
        self.cycles: list[CycleOutput] = []
        self.values: dict[str, float] = {}

    def forward_and_backward(self) -> None:
        self.cycles, terms = self.trainee.forward(self.batch)
        loss = self.trainee.backward(terms)
        self.values = {
            **{name: float(value.detach()) for name, value in terms.items()},
            "loss": float(loss.detach()),
        }

    def update(self, preflight: Preflight) -> tuple[float, float]:
        """Seconds it took, and the norm of the gradients before clipping."""
        norm = [0.0]

        def work() -> None:
            norm[0] = float(self.trainee.update())

        return timed(preflight.machine, work), norm[0]


def _normalisation_line(trainee: Trainee, batch: PoseBatch) -> CheckLine:
    """What reaches the model should have a mean near 0 and a spread near 1."""
    images = trainee.normalize(batch.images.to(trainee.machine.device)).float()
    mean, spread = float(images.mean()), float(images.std())
    text = f"the model sees values of mean {mean:.2f} and spread {spread:.2f}"
    low, high = _SPREAD
    if abs(mean) > _MEAN or not low <= spread <= high:
        cure = "NormalizeTensor works on 0..1: mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]"
        return CheckLine("normalisation", "fail" if abs(mean) > 10 * _MEAN else "warn", text, cure)
    return CheckLine("normalisation", "pass", text)


def _finite(values: dict[str, float]) -> bool:
    return all(map(math.isfinite, values.values()))


def _unreached(trainee: Trainee) -> list[str]:
    return [
        name
        for name, parameter in trainee.model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]


def _forward_line(cycles: list[CycleOutput]) -> CheckLine:
    shapes = " x ".join(map(str, cycles[0].heatmaps.shape))
    finite = all(bool(torch.isfinite(tensor).all()) for cycle in cycles for tensor in cycle)
    peak = max(float(cycle.heatmaps.detach().abs().max()) for cycle in cycles)
    return CheckLine(
        "forward pass",
        "pass" if finite else "fail",
        f"{len(cycles)} cycles, heatmaps {shapes}, largest value {peak:.3g}",
        "" if finite else "outputs are not finite: check the weights loaded by load_from",
    )


def _iteration_line(number: int, total: int, values: dict[str, float], settings: Settings) -> CheckLine:
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    return CheckLine(
        f"iteration {number}/{total}",
        "fail" if broken else "pass",
        ", ".join(f"{name}: {value:.4g}" for name, value in values.items()),
        f"{broken[0]} is not finite: lower optimizer.lr (now {settings.optimizer.lr:g}) and look at the data"
        if broken
        else "",
        measured={name: value if math.isfinite(value) else str(value) for name, value in values.items()},
    )


def _terms_line(settings: Settings, terms: dict[str, float]) -> CheckLine:
    expected = {"heatmap_loss", "vis_dist_loss", "kpt_dist_loss"} | set(
        settings.model.keypoint_head.extra_losses
    )
    missing = sorted(expected - terms.keys())
    zero = [name for name in sorted(expected & terms.keys()) if terms[name] == 0]
    finite = _finite(terms)
    dominant = _dominant(terms)
    cure = ""
    if missing:
        cure = f"no {listed(missing)}: look at the losses of model.keypoint_head"
    elif zero:
        cure = "cycle_num=1 or a loss weight of 0 switches a term off"
    elif dominant:
        cure = f"lower the loss_weight of {dominant}; 5e-6 is the published one for the token losses"
    return CheckLine(
        "loss terms",
        "fail" if missing or not finite else "warn" if zero or dominant else "pass",
        f"{', '.join(terms)} computed{' and finite' if finite else ', NOT all finite'}"
        + (f"; zero: {', '.join(zero)}" if zero else "")
        + (f"; {dominant} is {terms[dominant] / terms['loss']:.0%} of the sum" if dominant else ""),
        cure,
    )


def _dominant(terms: dict[str, float]) -> str:
    """A token loss that is more than a side issue."""
    if not _finite(terms) or terms["loss"] <= 0:
        return ""
    names = ("vis_dist_loss", "kpt_dist_loss")
    return next((name for name in names if terms.get(name, 0) > _TOKEN_SHARE * terms["loss"]), "")


def _learning_line(history: list[dict[str, float]]) -> CheckLine:
    before, after = history[0]["loss"], history[-1]["loss"]
    fell = after < before
    return CheckLine(
        "learning",
        "pass" if fell else "warn",
        f"loss {before:.4g} -> {after:.4g} in {len(history)} iterations",
        "" if fell else "a few iterations may rise by chance; if 50 do, lower optimizer.lr",
        measured={"first_loss": before, "last_loss": after},
    )
