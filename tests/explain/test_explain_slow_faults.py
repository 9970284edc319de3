"""Faults without a faulty iteration: a loss that rose and stays up, a run that does not learn, ranks that disagree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted_faults import explained, tiny_config, train

from sdpose.errors import SdposeError
from sdpose.explain import Explanation
from sdpose.training.checkpoint import Checkpoint, load_checkpoint
from sdpose.training.incident import Incident, write_incident


def incident_after(
    folder: Path,
    people: Path,
    options: list[str],
    *,
    change: Callable[[Checkpoint], None] = lambda before: None,
    **facts: Any,
) -> Path:
    """An epoch of the tiny training, and an incident four iterations after it; no other checkpoint is left."""
    assert train(tiny_config(folder, people), "total_epochs=1", "lr_config.warmup=None", *options) == 0
    work_dir = folder / "work"
    before = load_checkpoint(work_dir / "epoch_1.pth")
    before.meta["config"] = before.meta["config"].replace("total_epochs = 1\n", "total_epochs = 3\n")
    change(before)
    for path in work_dir.glob("*.pth"):
        path.unlink()
    told: dict[str, Any] = {"metric": "loss", "value": None, **facts}
    incident = Incident(severity="critical", iteration=8, epoch=2, epoch_batch=4, **told)
    return write_incident(work_dir, incident, before)


def outcomes(found: Explanation) -> dict[str, str]:
    return {one.name: one.outcome for one in found.experiments}


def test_a_loss_that_diverged_before_the_saved_state_is_followed_back(tmp_path: Path, people: Path) -> None:
    folder = incident_after(
        tmp_path, people, ["optimizer.lr=0.5"], kind="divergence", value=10.0, evidence={"best": 0.04}
    )
    found = explained(folder)
    assert (found.reproduced, found.cause) == (True, "settings")
    assert found.snapshot_iteration == 0
    assert "iteration 0 (seed 1" in found.source
    assert outcomes(found)["what_if.lr"] == "healthy"


def test_a_divergence_that_does_not_come_again_is_told(tmp_path: Path, people: Path) -> None:
    folder = incident_after(
        tmp_path, people, ["optimizer.lr=1e-4"], kind="divergence", value=5.0, evidence={"best": 0.04}
    )
    found = explained(folder)
    assert (found.reproduced, found.cause, found.exit_code) == (False, None, 1)


@pytest.mark.parametrize(
    ("lr", "trial", "word"), [("0.5", "lower", "too high"), ("3e-5", "higher", "too low")]
)
def test_a_run_that_does_not_learn_is_tried_at_other_rates(
    tmp_path: Path, people: Path, lr: str, trial: str, word: str
) -> None:
    found = explained(incident_after(tmp_path, people, [f"optimizer.lr={lr}"], kind="no_learning"))
    assert found.cause == "settings"
    assert word in found.verdict
    assert outcomes(found)[f"learn.{trial}"] == "healthy"
    assert outcomes(found)["learn.as_it_is"] == "fault"


def test_a_run_on_its_way_is_not_accused(tmp_path: Path, people: Path) -> None:
    found = explained(incident_after(tmp_path, people, ["optimizer.lr=1e-3"], kind="no_learning"))
    assert (found.cause, found.exit_code) == (None, 1)


def test_dead_heatmaps_are_seen(tmp_path: Path, people: Path) -> None:
    def kill(before: Checkpoint) -> None:
        for name, tensor in before.state_dict.items():
            if "mlp_head" in name:
                tensor.zero_()

    facts = {"kind": "dead_heatmaps", "metric": "heatmap_flat", "value": 1.0}
    found = explained(incident_after(tmp_path, people, [], change=kill, **facts))
    alive = next(one for one in found.experiments if one.name == "alive")
    assert alive.outcome == "fault"
    assert alive.numbers["flat"] == "100%"


@pytest.mark.parametrize(
    ("seen", "cause", "reproduced"), [([0.05, 0.5], "hardware", False), ([0.0428, 0.0438], "data", True)]
)
def test_ranks_are_lived_through_in_one_process(
    tmp_path: Path, people: Path, seen: list[float], cause: str, reproduced: bool
) -> None:
    def of_two_ranks(before: Checkpoint) -> None:
        assert before.resume is not None
        before.resume = {
            **before.resume,
            "world_size": 2,
            "random_states": before.resume["random_states"] * 2,
        }

    folder = incident_after(
        tmp_path,
        people,
        ["optimizer.lr=1e-5"],
        change=of_two_ranks,
        kind="ranks_disagree",
        metric="rank_spread",
        value=(max(seen) - min(seen)) / (sum(seen) / 2),
        evidence={"rank": 1, "loss_per_rank": seen},
        world_size=2,
    )
    found = explained(folder)
    assert (found.reproduced, found.cause) == (reproduced, cause)
    assert "rank 1" in found.verdict


def test_a_fault_that_is_no_fault_of_an_iteration_is_refused(tmp_path: Path, people: Path) -> None:
    folder = incident_after(tmp_path, people, [], kind="disk_low", metric="disk_free_mib", value=1.0)
    with pytest.raises(SdposeError, match="nothing to play again"):
        explained(folder)
