"""The healthy trainings in which faults are planted.

All go on from the shipped weights of the demo model (0.54 M parameters, a true SDPose) on people drawn for each seed,
with the real loader and the real evaluation; `scratch` is the
beginning of a longer run from random weights, there for its AP of 0. They
differ in what a monitor may trip over: schedule, warm-up, clipping, batch size, optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "sdpose" / "weights" / "sdpose_demo.pth"
DEMO = REPOSITORY / "configs" / "demo" / "sdpose_demo.py"
FROM_SCRATCH = REPOSITORY / "configs" / "demo" / "sdpose_demo_from_scratch.py"

EPOCHS = 6
RECORDER = "benchmarks.fault_corpus.recording"


@dataclass(frozen=True)
class Recipe:
    """A training: a config and what is changed in it."""

    name: str
    lr: float
    epoch_length: int
    batch_size: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    config: Path = DEMO
    weights: Path | None = WEIGHTS
    total_epochs: int = EPOCHS
    """More than EPOCHS: the run is interrupted after these, being the beginning of a longer one."""

    @property
    def settings(self) -> dict[str, Any]:
        """All changes to the config."""
        return {
            "total_epochs": self.total_epochs,
            "optimizer.lr": self.lr,
            "runtime.limit_train_batches": self.epoch_length,
            "runtime.rescue_minutes": 0.0,
            "evaluation.interval": 1,
            "checkpoint_config.interval": -1,
            "data.samples_per_gpu": self.batch_size,
            "data.workers_per_gpu": 0,
            # The whole of a fault is to be seen: nothing may end or mend the run.
            "monitor.on_alert": "warn",
            "monitor.on_non_finite_loss": "warn",
            "custom_imports": {"imports": [RECORDER], "allow_failed_imports": False},
            "custom_hooks": [{"type": "RecordingHook"}],
            **self.changes,
        }


def _schedule(policy: str, **arguments: Any) -> dict[str, Any]:
    return {"policy": policy, "by_epoch": False, **arguments}


_WARMUP = {"warmup": "linear", "warmup_iters": 20, "warmup_ratio": 0.01}
RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "cosine",
            lr=1.5e-4,
            epoch_length=28,
            batch_size=8,
            changes={
                "lr_config": _schedule("CosineAnnealing", min_lr_ratio=0.01, **_WARMUP),
                "log_config.interval": 14,
            },
        ),
        Recipe(
            "step",
            lr=1e-4,
            epoch_length=30,
            batch_size=8,
            changes={
                "optimizer.type": "AdamW",
                "optimizer_config.grad_clip": None,
                "lr_config": {"policy": "step", "step": [4], "gamma": 0.1},
                "log_config.interval": 10,
            },
        ),
        Recipe(
            "fixed",
            lr=8e-5,
            epoch_length=26,
            batch_size=12,
            changes={
                "optimizer_config.grad_clip.max_norm": 5.0,
                "lr_config": {
                    "policy": "fixed",
                    "warmup": "constant",
                    "warmup_iters": 12,
                    "warmup_ratio": 0.1,
                },
                "log_config.interval": 13,
            },
        ),
        Recipe(
            "poly",
            lr=2e-4,
            epoch_length=30,
            batch_size=8,
            changes={
                "optimizer_config.grad_clip.max_norm": 0.1,
                "lr_config": _schedule("poly", power=0.9, min_lr=1e-6, **_WARMUP),
                "log_config.interval": 15,
            },
        ),
        Recipe(
            "scratch",
            lr=6e-4,
            epoch_length=30,
            batch_size=8,
            config=FROM_SCRATCH,
            weights=None,
            total_epochs=32,
            changes={
                "lr_config": _schedule("CosineAnnealing", min_lr_ratio=0.01, **_WARMUP),
                "log_config.interval": 10,
            },
        ),
    )
}
_OF_SEED = ("cosine", "step", "fixed", "poly")


def recipe_of(seed: int) -> Recipe:
    """Seeds 0, 4, 8 train as `cosine`, 1, 5, 9 as `step`, and so on; from 12 on as `scratch`."""
    return RECIPES["scratch" if seed >= 12 else _OF_SEED[seed % 4]]
