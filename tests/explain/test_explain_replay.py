"""The replay is the run: the same losses, the same weights, to the last bit; and experiments leave nothing behind."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from planted_faults import tiny_config, train
from tiny_runs import two_processes

from sdpose.assemble.machine import choose_machine
from sdpose.assemble.user_code import UserCode
from sdpose.cli.main import main
from sdpose.errors import SdposeError
from sdpose.explain.bench import Bench, StepRules
from sdpose.explain.case import Case, find_case
from sdpose.explain.deadline import Deadline
from sdpose.explain.notebook import Notebook
from sdpose.explain.phrases import Phrases
from sdpose.explain.recorded import compare_with_log
from sdpose.explain.replay import replay
from sdpose.explain.symptom import Symptom
from sdpose.training.checkpoint import load_checkpoint, save_checkpoint
from sdpose.training.distributed import World
from sdpose.training.treatment import Measure, Treatment


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    """Two healthy epochs, gradients of two batches averaged for a step."""
    folder = tmp_path_factory.mktemp("healthy")
    accumulate = (
        "optimizer_config.type=GradientCumulativeOptimizerHook",
        "optimizer_config.cumulative_iters=2",
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert train(tiny_config(folder, people), "runtime.limit_train_batches=3", *accumulate) == 0
    torch.set_num_threads(before)
    return folder / "work"


@pytest.fixture
def case(work_dir: Path) -> Case:
    return find_case(work_dir / "epoch_1.pth", iteration=6)


@pytest.fixture
def bench(case: Case) -> Bench:
    machine = choose_machine(case.settings, World().device)
    bench = Bench(case.settings, UserCode(), machine, seed=1, base_lr=case.base_lr)
    bench.load(case.checkpoint)
    return bench


def quiet(budget_s: float | None = None) -> Notebook:
    return Notebook(Phrases("en"), Deadline(budget_s), lambda what, done, total: None)


def weights(bench: Bench) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in bench.model.state_dict().items()}


def test_a_replay_ends_with_the_runs_weights_and_losses(bench: Bench, work_dir: Path) -> None:
    film = replay(bench, Symptom(), 6, quiet())
    assert film.onset is None
    assert [iteration for iteration, _ in film.lived] == [4, 5, 6]
    saved = load_checkpoint(work_dir / "epoch_2.pth").state_dict
    assert all(torch.equal(tensor, saved[name]) for name, tensor in weights(bench).items())
    comparison = compare_with_log(work_dir, film.lived, epoch_length=3, interval=1)
    assert (comparison.num_lines, comparison.first_difference) == (3, None)


def test_a_log_that_says_something_else_is_noticed(bench: Bench, tmp_path: Path) -> None:
    film = replay(bench, Symptom(), 6, quiet())
    losses = [lived.values["loss"] for _, lived in film.lived]
    lines = [
        json.dumps({"mode": "train", "epoch": 2, "iter": number, "loss": loss})
        for number, loss in enumerate([losses[0], losses[1] * 2, losses[2]], start=1)
    ]
    (tmp_path / "20260101_000000.log.json").write_text(
        "\n".join(['{"env_info": ""}', *lines, '{"mode": "tr'])
    )
    comparison = compare_with_log(tmp_path, film.lived, epoch_length=3, interval=1)
    assert comparison.num_lines == 3
    assert comparison.first_difference is not None
    assert comparison.first_difference.iteration == 5


@pytest.mark.parametrize("precision", ["run", "float32", "float64"])
def test_a_measurement_leaves_everything_as_it_was(bench: Bench, precision: str) -> None:
    first, second = islice(bench.batches(), 2)
    bench.advance(first)
    before, drawn = bench.freeze(), torch.get_rng_state()
    lived = bench.measure(second, precision=precision)  # type: ignore[arg-type]
    assert lived.values["loss"] > 0
    after = bench.freeze()
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    assert before.progress == after.progress
    assert torch.equal(drawn, torch.get_rng_state())
    for ours, theirs in zip(before.gradients, after.gradients, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or (theirs is not None and torch.equal(ours, theirs))
    for entry, other in zip(before.moments, after.moments, strict=True):
        assert entry.keys() == other.keys()


def test_precisions_agree_on_a_healthy_batch(bench: Bench) -> None:
    (batch,) = islice(bench.batches(), 1)
    single, double = (bench.measure(batch, precision=p).values for p in ("run", "float64"))  # type: ignore[arg-type]
    assert single.keys() == double.keys()
    assert double == pytest.approx(single, rel=1e-3)


def test_a_shorter_step_moves_less(bench: Bench) -> None:
    batches = list(islice(bench.batches(), 2))
    before = weights(bench)
    moved = []
    for factor in (1.0, 0.1):
        with bench.unmoved():
            for batch in batches:
                bench.advance(batch, StepRules(lr_factor=factor))
            name = "keypoint_head.tokenpose.mlp_head.1.weight"
            moved.append(float((bench.model.state_dict()[name] - before[name]).norm()))
    assert moved[1] == pytest.approx(moved[0] / 10, rel=1e-2)


def test_the_share_of_two_ranks_is_their_mean(case: Case) -> None:
    machine = choose_machine(case.settings, World().device)
    bench = Bench(case.settings, UserCode(), machine, seed=1, world_size=2)
    (batch,) = islice(bench.batches(), 1)
    assert len(batch) == 2
    both = bench.measure(batch)
    alone = [bench.measure([share]).values["loss"] for share in batch]
    assert both.loss_per_rank == tuple(alone)
    assert both.values["loss"] == pytest.approx(sum(alone) / 2)
    assert not set(batch[0].indices.tolist()) & set(batch[1].indices.tolist())


def test_a_run_of_two_processes_is_lived_through_in_one(tmp_path: Path, people: Path) -> None:
    config = tiny_config(tmp_path, people)
    options = ["--seed", "1", "--cfg-options", "data.samples_per_gpu=4"]
    ended = two_processes("dist_train.sh", config, 2, *options, folder=tmp_path)
    assert ended.code == 0, ended
    case = find_case(tmp_path / "work" / "epoch_1.pth", iteration=8)
    assert case.world_size == 2
    machine = choose_machine(case.settings, World().device)
    bench = Bench(case.settings, UserCode(), machine, seed=1, world_size=2, base_lr=case.base_lr)
    bench.load(case.checkpoint)
    film = replay(bench, Symptom(), 8, quiet())
    comparison = compare_with_log(tmp_path / "work", film.lived, epoch_length=4, interval=1)
    assert (comparison.num_lines, comparison.first_difference) == (4, None)
    saved = load_checkpoint(tmp_path / "work" / "epoch_2.pth").state_dict
    differences = [
        float((tensor.double() - saved[name].double()).abs().max()) for name, tensor in weights(bench).items()
    ]
    # Gradients are summed in another order, and Adam makes whole steps of what is nearly nothing.
    assert max(differences) < 1e-3


def test_repairs_that_were_in_force_are_in_force_again(case: Case, tmp_path: Path) -> None:
    treatment = Treatment(
        skipped=frozenset({5}), measures=(Measure(from_iteration=6, lr_factor=0.5, max_norm=0.1),)
    )
    before = case.checkpoint
    assert before.resume is not None
    before.resume["recovery"]["confirmed"] = treatment.to_plain()
    path, work_dir = tmp_path / "treated.pth", tmp_path / "work"
    save_checkpoint(path, before)
    config = tmp_path / "config.py"
    config.write_text(case.settings.python_text())
    assert main(["train", str(config), "--resume-from", str(path), "--work-dir", str(work_dir)]) == 0
    treated = find_case(path, iteration=6, config=config)
    bench = Bench(treated.settings, UserCode(), choose_machine(treated.settings, World().device), seed=1)
    bench.load(treated.checkpoint)
    film = replay(bench, Symptom(), 6, quiet())
    assert [iteration for iteration, _ in film.lived] == [4, 6]
    saved = load_checkpoint(work_dir / "epoch_2.pth").state_dict
    assert all(torch.equal(tensor, saved[name]) for name, tensor in weights(bench).items())


def test_another_batch_size_cannot_be_played_again(case: Case) -> None:
    data = case.settings.data.model_copy(update={"samples_per_gpu": 40})
    runtime = case.settings.runtime.model_copy(update={"limit_train_batches": None})
    settings = case.settings.model_copy(update={"data": data, "runtime": runtime})
    bench = Bench(settings, UserCode(), choose_machine(settings, World().device), seed=1)
    with pytest.raises(SdposeError, match=r"was saved by a run of 3 iterations an epoch.*there are 2"):
        bench.load(case.checkpoint)


def test_time_that_is_up_is_no_verdict(bench: Bench) -> None:
    film = replay(bench, Symptom(), 6, quiet(0.0))
    assert (film.onset, film.lived, film.reached_end) == (None, [], False)
