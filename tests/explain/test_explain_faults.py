"""Faults planted in real trainings: the kept incident is explained with the right cause, image and place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from planted_faults import copy_of, explained, spoil_one_person, tiny_config, train

from sdpose.explain import Explanation
from sdpose.training.checkpoint import load_checkpoint, save_checkpoint
from sdpose.training.incident import Incident, write_incident

# A long warm-up of nothing, then a rate that no model survives: iteration 6 takes the first large step.
LATE_BLOW = ["lr_config.warmup=constant", "lr_config.warmup_iters=5"]


def hide_all_but_one_far_joint(annotation: dict[str, Any]) -> None:
    """One labelled joint, far away: nothing to see in the crop."""
    points = [0.0] * 51
    points[:3] = [5000.0, 5000.0, 2]
    annotation.update(keypoints=points, num_keypoints=1)


def by_name(explanation: Explanation) -> dict[str, str]:
    return {experiment.name: experiment.outcome for experiment in explanation.experiments}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_an_annotation_beyond_all_numbers_is_found_with_its_image(tmp_path: Path, people: Path) -> None:
    root = copy_of(people, tmp_path)

    def spoil(annotation: dict[str, Any]) -> None:
        joint = next(joint for joint in range(17) if annotation["keypoints"][3 * joint + 2] > 0)
        annotation["keypoints"][3 * joint] = 1e39

    image_id, annotation_id = spoil_one_person(root, spoil)
    assert train(tiny_config(tmp_path, root)) == 1
    found = explained(tmp_path / "work")
    assert (found.kind, found.iteration, found.onset) == ("non_finite", 6, 6)
    assert (found.reproduced, found.cause, found.exit_code) == (True, "data", 0)
    assert [(one.image_id, one.annotation_id) for one in found.suspects] == [(image_id, annotation_id)]
    assert found.place is not None
    assert (found.place.layer, found.place.phase) == ("target", "target")
    assert "not finite" in found.suspects[0].reason
    outcomes = by_name(found)
    assert outcomes["other_batches"] == "healthy"
    assert outcomes["halves"] == outcomes["float64"] == outcomes["targets"] == "fault"
    assert f"annotation {annotation_id} of image {image_id}" in found.actions[0]


def test_a_sample_that_breaks_an_own_loss_is_found(tmp_path: Path, people: Path) -> None:
    root = copy_of(people, tmp_path)

    image_id, _ = spoil_one_person(root, hide_all_but_one_far_joint)
    own = "seen = weight[..., 0].sum(dim=1)\nreturn 0.1 * (target.amax(dim=(1, 2, 3)) / seen).mean()"
    assert train(tiny_config(tmp_path, root, own_loss=own)) == 1
    found = explained(tmp_path / "work")
    assert (found.cause, found.onset) == ("data", 6)
    assert [one.image_id for one in found.suspects] == [image_id]
    assert found.suspects[0].numbers["odd"] == ["joints_far", "nothing_visible"]
    assert found.place is not None
    assert (found.place.layer, found.place.phase, found.place.fault) == ("loss_own", "loss", "non_finite")
    assert any("loss_own" in action for action in found.actions)


def test_a_sample_with_an_extreme_but_finite_loss_is_found(tmp_path: Path, people: Path) -> None:
    root = copy_of(people, tmp_path)
    image_id, annotation_id = spoil_one_person(root, hide_all_but_one_far_joint)
    own = "drawn = target.sum(dim=(1, 2, 3)).clamp(min=1e-3)\nreturn (heatmaps.square().mean((1, 2, 3)) / drawn).mean()"
    train(tiny_config(tmp_path, root, own_loss=own))
    # No critical alert: a single high loss is a spike.
    found = explained(tmp_path / "work" / "epoch_1.pth", iteration=8, config=tmp_path / "tiny.py")
    assert (found.reproduced, found.cause, found.onset) == (True, "data", 6)
    assert [(one.image_id, one.annotation_id) for one in found.suspects] == [(image_id, annotation_id)]
    assert found.place is not None
    assert (found.place.layer, found.place.fault) == ("loss_own", "extreme")
    assert found.place.usual is not None
    assert found.place.value > 10 * found.place.usual


def test_a_loss_that_breaks_with_the_weights_is_a_state(tmp_path: Path, people: Path) -> None:
    # The lowest value of the maps rises from -0.42 to -0.30 in eight iterations, whatever the batch.
    own = "return 1e-3 * torch.sqrt(-0.36 - heatmaps.detach().min())"
    assert train(tiny_config(tmp_path, people, own_loss=own)) == 1
    found = explained(tmp_path / "work")
    assert (found.reproduced, found.cause) == (True, "state")
    assert found.suspects == ()
    outcomes = by_name(found)
    # The kept state of iteration 5 shows it with every batch, so the checkpoint before that was taken.
    assert (found.onset, found.snapshot_iteration) == (6, 4)
    assert outcomes["earlier_weights"] == "healthy"
    assert outcomes["other_batches"] == "fault"
    assert any("hardware" in line for line in found.ruled_out)
    assert any("own code (Own)" in action for action in found.actions)


def test_a_loss_that_breaks_by_rounding_is_numerics(tmp_path: Path, people: Path) -> None:
    # exp(-105) is no number of float32 any more; its logarithm is one of float64.
    own = "return -1e-5 * torch.log(torch.exp(-1000 * (heatmaps.detach().min() + 0.45)))"
    assert train(tiny_config(tmp_path, people, own_loss=own)) == 1
    found = explained(tmp_path / "work")
    assert (found.reproduced, found.cause) == (True, "numerics")
    assert by_name(found)["float64"] == "healthy"
    assert found.place is not None
    assert found.place.layer == "loss_own"
    assert "float64" in found.actions[0]


def test_a_loss_that_only_breaks_in_mixed_precision_is_numerics(tmp_path: Path, people: Path) -> None:
    # 1 + 0.0039 is 1 in bfloat16, and its logarithm 0.
    own = "small = (-0.011 * heatmaps.detach().min()).to(heatmaps.dtype)\nreturn 1e-6 / torch.log(1 + small).float()"
    assert train(tiny_config(tmp_path, people, own_loss=own), "runtime.precision=bf16") == 1
    found = explained(tmp_path / "work")
    assert (found.reproduced, found.cause) == (True, "numerics")
    outcomes = by_name(found)
    assert outcomes["float32"] == "healthy"
    assert "float64" not in outcomes
    assert "runtime.precision=fp32" in found.actions[0]


@pytest.mark.parametrize("lr", ["1e30", "300.0"])
def test_a_rate_far_too_high_is_the_settings(tmp_path: Path, people: Path, lr: str) -> None:
    options = [f"optimizer.lr={lr}", f"lr_config.warmup_ratio={1e-9 / float(lr)}", *LATE_BLOW]
    config = tiny_config(tmp_path, people)
    code = train(config, *options)
    if lr == "1e30":
        assert code == 1
        found = explained(tmp_path / "work")
    else:  # large, but finite: there is no critical alert after eight iterations
        found = explained(tmp_path / "work" / "epoch_1.pth", iteration=8)
    assert (found.reproduced, found.cause, found.onset) == (True, "settings", 7)
    outcomes = by_name(found)
    assert outcomes["step_size"] == "fault"
    assert outcomes["what_if.lr"] == "healthy"
    assert "in iteration 6" in found.verdict
    new = float(found.actions[0].partition("optimizer.lr=")[2].rstrip(")"))
    assert 1e-4 < new < 0.1


def test_a_fault_that_came_once_is_not_reproduced(tmp_path: Path, people: Path) -> None:
    own = (
        "self.calls += 1\n"
        "mark = Path(__file__).with_suffix('.mark')\n"
        "if self.calls == 7 and not mark.exists():\n"
        "    mark.touch()\n"
        "    return heatmaps.sum() * float('nan')\n"
        "return 0.1 * heatmaps.square().mean()"
    )
    assert train(tiny_config(tmp_path, people, own_loss=own), "log_config.interval=2") == 1
    found = explained(tmp_path / "work")
    assert (found.iteration, found.reproduced, found.cause, found.exit_code) == (7, False, "hardware", 1)
    assert found.onset is None
    assert by_name(found)["same_again"] == "healthy"
    assert any("own code" in action for action in found.actions)


def incident_before(tmp_path: Path, people: Path, **changes: Any) -> Path:
    """A healthy epoch, and an incident of iteration 6 whose saved state is that epoch's, changed."""
    assert train(tiny_config(tmp_path, people), "total_epochs=1") == 0
    work_dir = tmp_path / "work"
    incident = Incident(
        kind="non_finite",
        severity="critical",
        iteration=6,
        epoch=2,
        epoch_batch=2,
        metric="loss",
        value=float("nan"),
    )
    before = load_checkpoint(work_dir / "epoch_1.pth")
    before.meta["config"] = before.meta["config"].replace("total_epochs = 1", "total_epochs = 2")
    for name in work_dir.glob("*.pth"):
        name.unlink()
    return write_incident(work_dir, incident, replace(before, **{k: v(before) for k, v in changes.items()}))


def with_a_broken_moment(before: Any) -> Any:
    state = before.optimizer
    first = next(iter(state["state"].values()))
    first["exp_avg"].fill_(float("nan"))
    return state


def with_a_broken_weight(before: Any) -> Any:
    weights = dict(before.state_dict)
    name = "keypoint_head.tokenpose.mlp_head.1.weight"
    weights[name] = torch.full_like(weights[name], float("nan"))
    return weights


def test_damaged_moments_of_the_optimizer_are_a_state(tmp_path: Path, people: Path) -> None:
    found = explained(incident_before(tmp_path, people, optimizer=with_a_broken_moment))
    assert (found.reproduced, found.cause, found.onset) == (True, "state", 5)
    assert "exp_avg" in found.verdict


def test_damaged_weights_are_a_state(tmp_path: Path, people: Path) -> None:
    found = explained(incident_before(tmp_path, people, state_dict=with_a_broken_weight))
    assert (found.reproduced, found.cause, found.onset) == (True, "state", 5)
    assert found.place is not None
    assert found.place.phase == "weights"
    assert found.place.layer == "keypoint_head.tokenpose.mlp_head.1.weight"


def test_a_damaged_file_is_told(tmp_path: Path, people: Path) -> None:
    folder = incident_before(tmp_path, people)
    content = load_checkpoint(folder / "before.pth")
    content.meta["seed"] = None
    save_checkpoint(folder / "before.pth", content)
    with pytest.raises(Exception, match="does not say the seed"):
        explained(folder)
