"""Runs that go wrong in the middle and mend themselves."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from tiny_runs import differences, json_log, log_text, python, train_until, two_processes, weights_of

from sdpose.assemble.data import EpochBatches
from sdpose.cli.main import main
from sdpose.run import Run
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.incident import list_incidents, load_incident

RECOVER = "monitor.on_alert=recover"
# Two epochs of twelve iterations, looked at every four.
LENGTH = [
    "total_epochs=2",
    "data.samples_per_gpu=4",
    "runtime.limit_train_batches=12",
    "log_config.interval=4",
]


def train(config: Path, work_dir: Path, *options: str, seed: int = 1, more: tuple[str, ...] = ()) -> int:
    words = ["train", str(config), "--seed", str(seed), "--work-dir", str(work_dir), *more]
    return main([*words, "--cfg-options", *LENGTH, *options])


def repairs(work_dir: Path) -> list[dict[str, Any]]:
    path = work_dir / "repairs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outcomes(work_dir: Path) -> list[tuple[str, str]]:
    return [(line["outcome"], line["step"]) for line in repairs(work_dir)]


def alerts(work_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work_dir / "alerts.jsonl").read_text().splitlines()]


def last_losses(work_dir: Path) -> float:
    """Mean loss of the last epoch as logged last."""
    logged = {(e["epoch"], e["iter"]): e["loss"] for e in json_log(work_dir) if e["mode"] == "train"}
    last = max(epoch for epoch, _ in logged)
    values = [loss for (epoch, _), loss in logged.items() if epoch == last]
    return sum(values) / len(values)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plant faults in batches of this process's runs."""

    def plant_them(**faults: str) -> None:
        numbers = {int(name.removeprefix("at_")): kind for name, kind in faults.items()}
        monkeypatch.setattr(EpochBatches, "batches", planted.planting(numbers))

    return plant_them


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory, straight_config: Path) -> Path:
    """Work dir of the run into which the faults are planted."""
    work_dir = tmp_path_factory.mktemp("healthy") / "work"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as every test of this folder does
    assert train(straight_config, work_dir) == 0
    torch.set_num_threads(before)
    return work_dir


def test_a_healthy_run_is_the_same_to_the_bit_with_recovery(
    config: Path, tmp_path: Path, healthy: Path
) -> None:
    for name, options in {"on": [RECOVER], "off": ["monitor.snapshot=False"]}.items():
        assert train(config, tmp_path / name, *options) == 0
        assert differences(healthy, tmp_path / name) == []
        assert not (tmp_path / name / "repairs.jsonl").exists()
        assert not (tmp_path / name / "incidents").exists()


def test_a_nan_is_undone_and_its_batch_left_out(
    config: Path, tmp_path: Path, healthy: Path, plant: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(at_7="nan")
    work_dir = tmp_path / "work"
    assert train(config, work_dir, RECOVER) == 0
    assert outcomes(work_dir) == [("made", "skip"), ("helped", "skip")]
    made = repairs(work_dir)[0]
    assert (made["iteration"], made["onset"], made["skipped"], made["go_back_to"]) == (8, 7, [7], 4)
    line = "REPAIR at iteration 8: non_finite since iteration 7, attempt 1 of 3: back to iteration 4; the batch of"
    assert f"{line} iteration 7 is left out" in log_text(work_dir)
    assert "REPAIR at iteration 16: the repair has helped" in capsys.readouterr().out
    told = [(alert["kind"], alert["severity"]) for alert in alerts(work_dir)]
    assert told[0] == ("non_finite", "critical")
    assert [entry for entry in told if entry[0] == "recovery"] == [
        ("recovery", "warning"),
        ("recovery", "info"),
    ]
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(work_dir / "latest.pth").values())
    assert last_losses(work_dir) == pytest.approx(last_losses(healthy), rel=0.1)
    logged = [entry for entry in json_log(work_dir) if entry["mode"] == "train" and entry["epoch"] == 1]
    assert [entry["iter"] for entry in logged] == [4, 8, 8, 12]
    assert [math.isfinite(entry["loss"]) for entry in logged] == [True, False, True, True]


def test_up_to_the_fault_the_repaired_run_is_the_healthy_one(
    config: Path, tmp_path: Path, healthy: Path, plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, although iterations 5 and 6 were made twice; and then only one batch is missing."""
    states: dict[int, dict[str, torch.Tensor]] = {}
    original = Run.iteration_finished

    def noted(self: Run, progress: Any) -> bool:
        states[progress.iteration] = {name: t.clone() for name, t in self.model.state_dict().items()}
        return original(self, progress)

    monkeypatch.setattr(Run, "iteration_finished", noted)
    assert train(config, tmp_path / "twin", "total_epochs=1") == 0
    twin = dict(states)
    plant(at_7="nan")
    assert train(config, tmp_path / "work", RECOVER, "total_epochs=1") == 0
    for iteration in (1, 4, 5, 6):
        assert all(torch.equal(states[iteration][name], twin[iteration][name]) for name in twin[1]), iteration
    assert all(torch.equal(states[7][name], twin[6][name]) for name in twin[1]), "no step, no statistics"
    assert any(not torch.equal(states[8][name], twin[8][name]) for name in twin[1])


def test_a_dry_run_changes_nothing(config: Path, tmp_path: Path, plant: Any) -> None:
    plant(at_7="mild")
    options = ["monitor.on_non_finite_loss=warn"]
    assert train(config, tmp_path / "warn", *options) == 0
    assert train(config, tmp_path / "dry", *options, RECOVER, "monitor.dry_run=True") == 0
    assert differences(tmp_path / "warn", tmp_path / "dry") == []
    assert outcomes(tmp_path / "dry") == [("dry run", "skip")]
    assert "would be repaired: loss_spike since iteration 7" in log_text(tmp_path / "dry")
    plant(at_7="nan")
    assert train(config, tmp_path / "ends", RECOVER, "monitor.dry_run=True") == 1
    assert "failed: stopped at iteration 7" in log_text(tmp_path / "ends")


def test_two_bad_batches_of_one_interval(config: Path, tmp_path: Path, plant: Any) -> None:
    plant(at_5="nan", at_7="nan", at_15="nan")
    work_dir = tmp_path / "work"
    assert train(config, work_dir, RECOVER, "monitor.max_repairs=1") == 0
    made = [line["skipped"] for line in repairs(work_dir) if line["outcome"] == "made"]
    assert made == [[5], [7], [15]]
    assert load_checkpoint(work_dir / "latest.pth").resume["recovery"]["confirmed"]["skipped"] == [5, 7, 15]


def test_a_huge_target_is_left_out(config: Path, tmp_path: Path, healthy: Path, plant: Any) -> None:
    plant(at_19="huge")
    work_dir = tmp_path / "work"
    spikes = "custom_hooks.0.check_interval=4"
    assert train(config, work_dir, RECOVER, spikes) == 0
    assert [line["skipped"] for line in repairs(work_dir) if line["outcome"] == "made"] == [[19]]
    assert last_losses(work_dir) == pytest.approx(last_losses(healthy), rel=0.1)


def test_what_cannot_be_repaired_ends_with_the_last_good_state_saved(
    config: Path, tmp_path: Path, plant: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(**{f"at_{number}": "nan" for number in range(7, 30)})
    work_dir = tmp_path / "work"
    assert train(config, work_dir, RECOVER) == 1
    assert outcomes(work_dir) == [
        ("made", "skip"),
        ("made", "clip"),
        ("made", "lower_lr"),
        ("lost", "lower_lr"),
    ]
    shown = capsys.readouterr().out
    assert "beyond repair: 3 repairs were made (monitor.max_repairs)" in shown
    assert alerts(work_dir)[-1]["kind"] == "recovery_failed"
    (saved,) = work_dir.glob("iter_*.pth")
    assert f"the last good state is saved: mend the cause, then go on with {saved}" in shown
    assert saved.name == "iter_8.pth", "batches 7 and 8 left no trace in it"
    plant()
    assert train(config, work_dir, more=("--resume-from", "auto")) == 0
    assert not (work_dir / "repairs.jsonl").read_text().count("helped")


def test_with_accumulation_the_others_of_the_group_make_the_step(
    config: Path, tmp_path: Path, plant: Any
) -> None:
    group = ["optimizer_config.type=GradientCumulativeOptimizerHook", "optimizer_config.cumulative_iters=3"]
    plant(at_8="nan")
    work_dir = tmp_path / "work"
    assert train(config, work_dir, RECOVER, *group) == 0
    assert [line["skipped"] for line in repairs(work_dir) if line["outcome"] == "made"] == [[8]]
    assert outcomes(work_dir)[-1] == ("helped", "skip")
    steps = load_checkpoint(work_dir / "latest.pth").optimizer["state"][0]["step"]
    assert int(steps) == 8, "four steps an epoch, the group of batch 8 among them"


@pytest.fixture(scope="module")
def repaired_twice(tmp_path_factory: pytest.TempPathFactory, straight_config: Path) -> Path:
    """Work dir of a run with two bad batches that was never interrupted."""
    work_dir = tmp_path_factory.mktemp("repaired") / "whole"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as every test of this folder does
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochBatches, "batches", planted.planting({7: "nan", 8: "nan"}))
        assert train(straight_config, work_dir, RECOVER) == 0
    torch.set_num_threads(before)
    assert outcomes(work_dir) == [("made", "skip"), ("made", "clip"), ("helped", "clip")]
    return work_dir


@pytest.mark.parametrize("killed_at", [4, 7, 9, 13], ids=["before", "in the redo", "in the check", "after"])
def test_killed_during_a_repair_it_ends_the_same(
    config: Path,
    tmp_path: Path,
    plant: Any,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: int,
    repaired_twice: Path,
) -> None:
    plant(at_7="nan", at_8="nan")
    original, work_dir = Run.iteration_finished, tmp_path / "killed"

    class PowerCut(Exception): ...

    def cut(self: Run, progress: Any) -> bool:
        ended = original(self, progress)
        if progress.iteration == killed_at and (work_dir / "repairs.jsonl").exists() == (killed_at > 4):
            raise PowerCut
        return ended

    always_saving = "runtime.rescue_minutes=1e-9"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "iteration_finished", cut)
        with pytest.raises(PowerCut):
            train(config, work_dir, RECOVER, always_saving)
    assert train(config, work_dir, RECOVER, more=("--resume-from", "auto")) == 0
    assert differences(repaired_twice, work_dir) == []


def import_planted(config: Path) -> None:
    with config.open("a") as file:
        file.write(f"custom_imports = dict(imports=[{planted.__file__!r}])\n")


def test_really_killed_while_a_repair_is_judged_it_ends_the_same(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_planted(config)
    monkeypatch.setenv("SDPOSE_PLANT", json.dumps({7: "nan"}))
    monkeypatch.setenv("SDPOSE_FINGERPRINTS", str(tmp_path))
    words = ["--seed", "1", "--cfg-options", *LENGTH, RECOVER]
    assert python("tools/train.py", config, "--work-dir", tmp_path / "whole", *words).code == 0
    killed = tmp_path / "killed"
    ended = train_until(config, killed, *words, iteration=12, number=signal.SIGKILL)
    assert ended.code == -signal.SIGKILL, ended
    assert outcomes(killed)[0] == ("made", "skip")
    resumed = python("tools/train.py", config, "--work-dir", killed, "--resume-from", "auto", *words)
    assert resumed.code == 0, resumed
    assert differences(tmp_path / "whole", killed) == []


@pytest.mark.parametrize(
    ("faults", "made"),
    [({7: "nan"}, ["skip"]), ({7: "nan", 8: "nan"}, ["skip", "clip"])],
    ids=["one batch", "escalated"],
)
def test_two_processes_repair_alike(
    config: Path, tmp_path: Path, faults: dict[int, str], made: list[str]
) -> None:
    """A NaN in the share of only one of them. Their weights are the same to the last bit."""
    work_dir, fingerprints = tmp_path / "two", tmp_path / "fingerprints"
    fingerprints.mkdir()
    import_planted(config)
    words = [
        "--seed",
        "1",
        "--work-dir",
        work_dir,
        "--cfg-options",
        *LENGTH,
        RECOVER,
        "data.samples_per_gpu=2",
    ]
    environment = {
        "SDPOSE_PLANT": json.dumps(faults),
        "SDPOSE_FINGERPRINTS": str(fingerprints),
    }
    ended = two_processes("dist_train.sh", config, 2, *words, folder=tmp_path, **environment)
    assert ended.code == 0, ended
    assert [line["step"] for line in repairs(work_dir) if line["outcome"] == "made"] == made
    assert outcomes(work_dir)[-1] == ("helped", made[-1])
    recovery = load_checkpoint(work_dir / "latest.pth").resume["recovery"]
    assert recovery["confirmed"]["skipped"] == sorted(faults)
    one, two = ((fingerprints / rank).read_text() for rank in "01")
    assert one == two


DIVERGING = [  # twelve iterations of a good rate, then one that no model survives
    "total_epochs=4",
    "runtime.limit_train_batches=6",
    "optimizer.lr=0.1",
    "lr_config.policy=step",
    "lr_config.warmup=constant",
    "lr_config.warmup_iters=12",
    "lr_config.warmup_ratio=1e-2",
    "custom_hooks.0.check_interval=4",
]


def test_a_rate_far_too_high_is_lowered_from_where_it_began(config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "work"
    assert train(config, work_dir, *DIVERGING, "monitor.on_non_finite_loss=warn") in (0, 1)
    left_alone = last_losses(work_dir)
    work_dir = tmp_path / "repaired"
    assert train(config, work_dir, RECOVER, *DIVERGING) == 0
    made = [line for line in repairs(work_dir) if line["outcome"] == "made"]
    assert made[-1]["measure"]["lr_factor"] < 1
    assert made[-1]["onset"] > 12
    assert last_losses(work_dir) < 0.1 < left_alone
    last = [entry for entry in json_log(work_dir) if entry["mode"] == "train"][-1]
    assert last["lr"] == pytest.approx(0.1 * made[-1]["measure"]["lr_factor"], rel=1e-3)


def test_a_signal_after_the_weights_broke_saves_the_state_before(
    config: Path, tmp_path: Path, plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(at_6="nan")
    original = Run.iteration_finished

    def stopped(self: Run, progress: Any) -> bool:
        if progress.iteration == 7:
            self.stop.signal = signal.SIGTERM
        return original(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "iteration_finished", stopped)
        assert train(config, tmp_path / "work") == 143
    (saved,) = (tmp_path / "work").glob("iter_*.pth")
    assert saved.name == "iter_4.pth"
    assert "the weights are broken; the state of iteration 4 is saved in their place" in log_text(
        tmp_path / "work"
    )
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(saved).values())


@pytest.mark.parametrize(
    "options",
    [["checkpoint_config.interval=1"], ["checkpoint_config.interval=-1"]],
    ids=["of an epoch", "the best"],
)
def test_broken_weights_are_in_no_checkpoint(
    config: Path, tmp_path: Path, plant: Any, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """The last batch of the epoch breaks them, and the run was told to go on."""
    plant(at_12="nan")
    work_dir = tmp_path / "work"
    assert train(config, work_dir, "monitor.on_non_finite_loss=warn", *options) == 1
    assert "so they are not saved" in capsys.readouterr().out
    assert list(work_dir.glob("*.pth")) == []
    (folder,) = list_incidents(work_dir)
    before = weights_of(folder / "before.pth")
    assert all(torch.isfinite(tensor).all() for tensor in before.values())


def test_the_state_before_an_incident_leads_to_it_again(config: Path, tmp_path: Path, plant: Any) -> None:
    plant(at_7="nan")
    work_dir = tmp_path / "work"
    assert train(config, work_dir) == 1
    (folder,) = list_incidents(work_dir)
    incident = load_incident(folder)
    assert (incident.kind, incident.iteration, incident.epoch, incident.epoch_batch) == (
        "non_finite",
        7,
        1,
        7,
    )
    assert (incident.snapshot_iteration, incident.config, incident.world_size) == (4, "tiny.py", 1)
    again = tmp_path / "again"
    assert incident.checkpoint_path is not None
    assert train(config, again, more=("--resume-from", str(incident.checkpoint_path))) == 1
    (same,) = list_incidents(again)
    assert load_incident(same).iteration == 7
    plant()
    assert train(config, work_dir) == 0
    assert list_incidents(work_dir) == [], "they went where the run's other files went"
