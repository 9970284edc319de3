"""What can go wrong with a training, and how each fault is planted: in the config, in the data, or (where neither
can) by a function replaced around the run. Never in the product's code.

Seeds 0 and 3 of a fault have it from the start, 1 and 2 from the middle, wherever both can be. In the middle means as
a person does it: the run is interrupted after an epoch and resumed with another config or with files that changed
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fault_corpus import plants
from benchmarks.fault_corpus.recipes import EPOCHS, Recipe

MIDDLE = EPOCHS // 2  # epochs before a fault in the middle


@dataclass(frozen=True)
class Stage:
    """One process of a run. The last one runs to the end."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """To the recipe's config."""
    people: str | None = None
    """An edit of `people.EDITS`."""
    plant: plants.Plant | None = None
    weights: str | None = None
    """"headless": the shipped weights with a random backbone."""
    stop_after: int | None = None
    """The epoch after whose evaluation the process is interrupted."""


@dataclass(frozen=True)
class Case:
    """What a fault may look at when it is planted."""

    recipe: Recipe
    seed: int

    @property
    def from_start(self) -> bool:
        return self.seed % 4 in (0, 3)

    @property
    def middle(self) -> int:
        """The first iteration after the resume; an interrupted process finishes the one it has begun."""
        return MIDDLE * self.recipe.epoch_length + 2

    @property
    def moment(self) -> int:
        """An iteration for what happens once: soon after the start, or in the second half."""
        return 11 if self.from_start else self.middle + 7


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    story: str
    stages: Callable[[Case], list[Stage]]
    planted_at: Callable[[Case], int]
    expected: tuple[str, ...]
    """Kinds of alert that are right, the best first. Empty: the run refuses by itself and no record can show it."""
    verdicts: tuple[str, ...]
    """Verdicts that are right, the best first."""
    quiet: tuple[str, ...] = ()
    """Of the fitting kinds those that are notes by nature: the run is slower, not worse."""
    recoverable: bool = False
    processes: int = 1
    also_changed: Mapping[str, Any] = field(default_factory=dict)
    """In the config, without being the fault; the twin has it too as far as it matters to the numbers."""


def _sometimes(stage: Callable[[Case], Stage]) -> dict[str, Any]:
    """From the start or from the middle, as the seed says."""

    def stages(case: Case) -> list[Stage]:
        return [stage(case)] if case.from_start else [Stage(stop_after=MIDDLE), stage(case)]

    return {"stages": stages, "planted_at": lambda case: 1 if case.from_start else case.middle}


def _always(stage: Callable[[Case], Stage]) -> dict[str, Any]:
    return {"stages": lambda case: [stage(case)], "planted_at": lambda case: 1}


def _once(plant: Callable[[int], plants.Plant]) -> dict[str, Any]:
    return {
        "stages": lambda case: [Stage(plant=plant(case.moment))],
        "planted_at": lambda case: case.moment,
    }


def _people(edit: str) -> dict[str, Any]:
    return _sometimes(lambda case: Stage(people=edit))


def _config(**changes: Any) -> dict[str, Any]:
    plain = {key.replace("__", "."): value for key, value in changes.items()}
    return _sometimes(lambda case: Stage(changes=plain))


def _lr_times(factor: float) -> dict[str, Any]:
    return _sometimes(lambda case: Stage(changes={"optimizer.lr": case.recipe.lr * factor}))


_BYTES = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
_LOSS_UP = ("divergence", "loss_spike", "gradient_explosion")
_AP_DOWN = ("metric_collapse", "performance_drop", "metric_zero")
_DEAD = ("dead_heatmaps", "dead_tokens", "no_learning", "saturated_heatmaps")
_WORSE = ("diverged", "metric_collapse", "spike", "no_learning")
_COLLAPSED = ("metric_collapse", "overfit", "no_learning", "diverged")
_UNTAUGHT = (*_COLLAPSED, "spike")

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "lr_x10",
            "the learning rate is ten times what it was",
            **_lr_times(10),
            expected=(*_LOSS_UP, *_AP_DOWN, *_DEAD),
            verdicts=_WORSE,
            recoverable=True,
        ),
        Fault(
            "lr_x30",
            "the learning rate is thirty times what it was",
            **_lr_times(30),
            expected=(*_LOSS_UP, *_AP_DOWN, *_DEAD),
            verdicts=_WORSE,
            recoverable=True,
        ),
        Fault(
            "nan_in_batch",
            "one value of one crop is NaN, once",
            **_once(plants.nan_in_batch),
            expected=("non_finite", *_AP_DOWN),
            verdicts=("nan",),
            recoverable=True,
        ),
        Fault(
            "infinite_target",
            "a cell of one person's target maps is infinite, once",
            **_once(plants.infinite_target),
            expected=("non_finite", *_AP_DOWN),
            verdicts=("nan",),
            recoverable=True,
        ),
        Fault(
            "left_right_swapped",
            "left and right joints are swapped in the training annotations",
            **_people("left_right_swapped"),
            expected=(*_AP_DOWN, *_LOSS_UP, *_DEAD),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "flip_pairs_wrong",
            "the config lists no mirror pairs: mirrored people keep their left and right",
            **_sometimes(lambda case: Stage(changes={"data.*.dataset_info": "without mirror pairs"})),
            expected=(*_AP_DOWN, *_LOSS_UP, *_DEAD),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "sigma_wrong",
            "target peaks with sigma 6 instead of 2",
            **_config(data__train__pipeline__8__sigma=6),
            expected=(*_AP_DOWN, *_LOSS_UP, "behind_schedule"),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "wrong_normalisation",
            "mean and spread of bytes, given to a pipeline that works in 0..1",
            **_sometimes(
                lambda case: Stage(
                    changes={
                        f"data.{split}.pipeline.{row}.{name}": value
                        for split, row in (("train", 7), ("val", 4), ("test", 4))
                        for name, value in _BYTES.items()
                    }
                )
            ),
            expected=(*_AP_DOWN, *_LOSS_UP, *_DEAD),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "shifted_boxes",
            "the detected boxes lie half a person off",
            **_people("shifted_boxes"),
            expected=_AP_DOWN,
            verdicts=_COLLAPSED,
        ),
        Fault(
            "empty_box_file",
            "the file of detected boxes is an empty list",
            **_people("empty_box_file"),
            expected=(),
            verdicts=(),
        ),
        Fault(
            "foreign_box_file",
            "the detected boxes are those of other pictures with the same numbers",
            **_people("foreign_box_file"),
            expected=_AP_DOWN,
            verdicts=_COLLAPSED,
        ),
        Fault(
            "shuffled_labels",
            "poses are dealt out among the people at random",
            **_people("shuffled_labels"),
            expected=(*_AP_DOWN, *_LOSS_UP, *_DEAD),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "corrupt_images",
            "the lower two thirds of every picture are grey, as a lenient program saves a file cut short",
            **_people("corrupt_images"),
            expected=(*_AP_DOWN, *_LOSS_UP, "dead_heatmaps"),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "unreadable_images",
            "two thirds of every picture's bytes are lost",
            **_people("unreadable_images"),
            expected=(),
            verdicts=(),
        ),
        Fault(
            "frozen_backbone",
            "the backbone is random and gets no gradient",
            **_always(lambda case: Stage(weights="headless", plant=plants.frozen_backbone)),
            expected=(*_AP_DOWN, *_DEAD, "gradient_vanishing", "behind_schedule", "plateau"),
            verdicts=("no_learning", "metric_collapse"),
        ),
        Fault(
            "distillation_weight",
            "the token losses weigh 1e+2 instead of 5e-6",
            **_config(
                model__keypoint_head__loss_vis_token_dist__loss_weight=100.0,
                model__keypoint_head__loss_kpt_token_dist__loss_weight=100.0,
            ),
            expected=("loss_term_swallowing", *_LOSS_UP, *_AP_DOWN, *_DEAD),
            verdicts=_WORSE,
        ),
        Fault(
            "broken_rank",
            "one of two processes reads noise instead of pictures",
            **_always(lambda case: Stage(plant=plants.broken_rank(1, 1 if case.from_start else case.middle))),
            expected=("ranks_disagree", *_LOSS_UP, *_AP_DOWN),
            verdicts=_UNTAUGHT,
            processes=2,
        ),
        Fault(
            "wrong_sampler",
            "resumed with a sampler that hands out the same 16 people again and again",
            stages=lambda case: [Stage(stop_after=MIDDLE), Stage(plant=plants.same_few_samples(16))],
            planted_at=lambda case: case.middle,
            expected=("overfitting", *_AP_DOWN),
            verdicts=("overfit", "metric_collapse"),
        ),
        Fault(
            "dead_worker",
            "the loader's process is killed",
            **_once(plants.killed_worker),
            expected=(),
            verdicts=(),
            also_changed={"data.workers_per_gpu": 1},
        ),
        Fault(
            "weight_decay",
            "weight decay of 1, into the gradient (Adam) or apart from it at 100 (AdamW)",
            **_always(
                lambda case: Stage(
                    changes={"optimizer.weight_decay": 100.0 if case.recipe.name == "step" else 1.0}
                )
            ),
            expected=(*_AP_DOWN, *_DEAD, *_LOSS_UP),
            verdicts=_UNTAUGHT,
        ),
        Fault(
            "wrong_evaluation_file",
            "scored against the annotations of another set with the same image numbers",
            **_people("wrong_evaluation_file"),
            expected=_AP_DOWN,
            verdicts=_COLLAPSED,
        ),
        Fault(
            "slow_disk",
            "every picture takes 40 ms longer to read",
            stages=lambda case: [Stage(plant=plants.slow_disk(case.moment, 0.04))],
            planted_at=lambda case: case.moment,
            expected=("throughput_drop", "data_starvation"),
            quiet=("throughput_drop", "data_starvation"),
            verdicts=("healthy",),
        ),
    )
}


def headless_weights(whole: Path, folder: Path) -> Path:
    """The shipped weights with the backbone as a fresh model has it."""
    import torch

    from benchmarks.fault_corpus.recipes import DEMO
    from sdpose.assemble.model import build_model
    from sdpose.config.settings import load_settings
    from sdpose.training.checkpoint import load_checkpoint

    path = folder / "headless.pth"
    if not path.exists():
        torch.manual_seed(0)
        fresh = build_model(load_settings(DEMO), pretrained=False).state_dict()
        weights = load_checkpoint(whole).state_dict
        mixed = {name: fresh[name] if name.startswith("backbone.") else weights[name] for name in weights}
        torch.save({"state_dict": mixed}, path)
    return path
