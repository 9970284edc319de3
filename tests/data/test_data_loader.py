"""Orders, shares and batches: the same whoever makes them."""

from __future__ import annotations

import gc
import os
import signal
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from small_coco import write_set
from torch.utils.data import DistributedSampler

from sdpose.data import images
from sdpose.data.augment import Augmentation
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.images import decode
from sdpose.data.loader import EvalLoader, PoseBatch, TrainLoader, epoch_order
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17

NUM_PERSONS = 22


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PoseDataset:
    ann_file, image_folder = write_set(tmp_path_factory.mktemp("set"), num_images=11, people_per_image=2)
    table = load_coco(ann_file, image_folder, COCO17)
    return PoseDataset(
        table, table.ground_truth_persons(), image_size_wh=(48, 64), augmentation=Augmentation(), seed=4
    )


@pytest.fixture(scope="module")
def reference(dataset: PoseDataset) -> list[PoseBatch]:
    """Epoch 1 in batches of 5, made in this process."""
    return list(TrainLoader(dataset, 5, num_workers=0, seed=4).batches(1))


def assert_same(batches: list[PoseBatch], expected: list[PoseBatch]) -> None:
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        for name in ("images", "joints", "visible", "centers", "scales", "indices"):
            assert torch.equal(getattr(batch, name), getattr(other, name)), name
        assert batch.problems == other.problems


@pytest.mark.parametrize("num_samples", [1, 5, 22])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_orders_are_those_of_torchs_distributed_sampler(num_samples: int, world_size: int) -> None:
    samples = list(range(num_samples))
    for rank in range(world_size):
        sampler = DistributedSampler(samples, world_size, rank, shuffle=True, seed=9)
        for epoch in (0, 3):
            sampler.set_epoch(epoch)
            assert epoch_order(num_samples, 9, epoch, rank, world_size, True).tolist() == list(sampler)


def test_an_unshuffled_order_is_the_tables() -> None:
    assert epoch_order(5, 9, 3, 1, 2, False).tolist() == [1, 3, 0]


def test_every_epoch_shows_everybody_once_in_another_order(dataset: PoseDataset) -> None:
    loader = TrainLoader(dataset, 5, num_workers=0, seed=4)
    orders = [torch.cat([batch.indices for batch in loader.batches(epoch)]).tolist() for epoch in range(3)]
    assert [sorted(order) for order in orders] == [list(range(NUM_PERSONS))] * 3
    assert orders[0] != orders[1] != orders[2]
    assert len(loader) == 5
    assert [len(batch) for batch in loader.batches(0)] == [5, 5, 5, 5, 2]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(
    dataset: PoseDataset, reference: list[PoseBatch], num_workers: int
) -> None:
    loader = TrainLoader(dataset, 5, num_workers=num_workers, seed=4)
    assert_same(list(loader.batches(1)), reference)
    list(loader.batches(2))
    assert_same(list(loader.batches(1)), reference)  # the same workers, a later pass


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("start_batch", [0, 1, 3, 4, 5])
def test_an_epoch_resumes_at_any_batch(
    dataset: PoseDataset, reference: list[PoseBatch], num_workers: int, start_batch: int
) -> None:
    loader = TrainLoader(dataset, 5, num_workers=num_workers, seed=4)
    assert_same(list(loader.batches(1, start_batch)), reference[start_batch:])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_pass_that_was_left_in_the_middle_does_not_leak_into_the_next(
    dataset: PoseDataset, reference: list[PoseBatch], num_workers: int
) -> None:
    loader = TrainLoader(dataset, 5, num_workers=num_workers, seed=4)
    left = loader.batches(1)
    next(left)
    next(left)
    assert_same(list(loader.batches(1, 2)), reference[2:])


def test_two_processes_share_an_epoch(dataset: PoseDataset) -> None:
    single = {
        int(index): image
        for batch in TrainLoader(dataset, 4, num_workers=0, seed=4).batches(2)
        for index, image in zip(batch.indices, batch.images, strict=True)
    }
    seen: list[int] = []
    for rank in range(2):
        loader = TrainLoader(dataset, 4, num_workers=0, seed=4, rank=rank, world_size=2)
        assert len(loader) == 3
        for batch in loader.batches(2):
            seen += batch.indices.tolist()
            for index, image in zip(batch.indices, batch.images, strict=True):
                assert torch.equal(image, single[int(index)])
    assert sorted(seen) == list(range(NUM_PERSONS))


@pytest.mark.parametrize("world_size", [1, 2, 3, 30])
def test_evaluation_meets_everybody_once_on_all_processes_together(
    dataset: PoseDataset, world_size: int
) -> None:
    shares = []
    for rank in range(world_size):
        loader = EvalLoader(dataset, 4, num_workers=0, rank=rank, world_size=world_size)
        batches = list(loader)
        assert len(batches) == len(loader)
        shares.append([int(index) for batch in batches for index in batch.indices])
    assert [index for share in shares for index in share] == list(range(NUM_PERSONS))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("num_workers", [1, 2])
def test_evaluation_batches_do_not_depend_on_the_number_of_workers(
    dataset: PoseDataset, num_workers: int
) -> None:
    loader = EvalLoader(dataset, 4, num_workers=num_workers)
    assert_same(list(loader), list(EvalLoader(dataset, 4, num_workers=0)))
    assert_same(list(loader), list(loader))


def test_evaluation_decodes_an_image_once_however_its_persons_are_scattered(
    dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = np.random.default_rng(0).permutation(NUM_PERSONS)
    persons = dataset.persons
    scattered = type(persons)(**{name: value[shuffled] for name, value in vars(persons).items()})
    evaluation = PoseDataset(dataset.table, scattered, image_size_wh=(48, 64), augmentation=None)
    decoded: list[str] = []

    def counting(path: str, size_wh: tuple[int, int]) -> object:
        decoded.append(path)
        return decode(path, size_wh)

    monkeypatch.setattr(images, "decode", counting)
    indices = [int(index) for batch in EvalLoader(evaluation, 4, num_workers=0) for index in batch.indices]
    assert sorted(indices) == list(range(NUM_PERSONS))
    assert decoded == list(dataset.table.image_paths)


@pytest.fixture
def broken_loader(tmp_path: Path) -> TrainLoader:
    ann_file, image_folder = write_set(tmp_path, num_images=40)
    table = load_coco(ann_file, image_folder, COCO17)
    Path(table.image_paths[3]).write_bytes(b"no picture")
    persons = table.ground_truth_persons()
    dataset = PoseDataset(table, persons, image_size_wh=(48, 64), augmentation=Augmentation())
    return TrainLoader(dataset, 2, num_workers=1, seed=0)


def test_problems_travel_from_the_workers(broken_loader: TrainLoader) -> None:
    problems = [problem for batch in broken_loader.batches(0) for problem in batch.problems if problem]
    assert len(problems) == 2
    assert "the image cannot be decoded" in problems[0]


def test_a_dead_worker_is_said_in_the_users_words(broken_loader: TrainLoader) -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    batches = broken_loader.batches(0)
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) == handler
    worker = broken_loader._loader._iterator._workers[0]  # type: ignore[union-attr]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(SdposeError) as error:
        list(batches)
    message = str(error.value)
    assert message.startswith("a data worker process died (")
    assert "lower workers_per_gpu (now 1; 0 needs no processes) or samples_per_gpu" in message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
def test_batches_can_come_in_page_locked_memory(dataset: PoseDataset, reference: list[PoseBatch]) -> None:
    batches = list(TrainLoader(dataset, 5, num_workers=2, seed=4, pin_memory=True).batches(1))
    assert all(batch.images.is_pinned() and batch.joints.is_pinned() for batch in batches)
    assert_same([batch.to("cuda", non_blocking=True).to("cpu") for batch in batches], reference)


def test_workers_do_not_hear_ctrl_c(broken_loader: TrainLoader) -> None:
    batches = broken_loader.batches(0)
    next(batches)
    worker = broken_loader._loader._iterator._workers[0]  # type: ignore[union-attr]
    assert os.getpgid(worker.pid) == worker.pid != os.getpgid(0)
    assert len(list(batches)) == len(broken_loader) - 1


def test_a_mistake_inside_a_worker_keeps_its_traceback(dataset: PoseDataset) -> None:
    class Mistaken(PoseDataset):
        def __getitems__(self, keys: object) -> PoseBatch:
            raise RuntimeError("a mistake of the code")

    mistaken = Mistaken(dataset.table, dataset.persons, image_size_wh=(48, 64), augmentation=None)
    with pytest.raises(RuntimeError, match="a mistake of the code"):
        list(TrainLoader(mistaken, 4, num_workers=1, seed=0).batches(0))
    with pytest.raises(RuntimeError, match="a mistake of the code"):
        mistaken.__getitems__([SampleKey(0, 0)])


def num_objects(root: object) -> int:
    """How many Python objects hang on `root`, classes and modules aside."""
    seen: dict[int, object] = {}
    waiting: list[object] = [root]
    while waiting:
        found = waiting.pop()
        if id(found) not in seen and not isinstance(found, type | types.ModuleType | types.FunctionType):
            seen[id(found)] = found
            waiting += gc.get_referents(found)
    return len(seen)


def test_a_larger_set_is_larger_arrays_and_no_more_objects(tmp_path: Path) -> None:
    """A worker copies the pages of every object that it looks at; arrays it shares."""
    counts = []
    for num_images in (4, 40):
        folder = tmp_path / str(num_images)
        folder.mkdir()
        table = load_coco(*write_set(folder, num_images=num_images), COCO17)
        made = PoseDataset(
            table, table.ground_truth_persons(), image_size_wh=(48, 64), augmentation=Augmentation()
        )
        counts.append(num_objects(made))
    assert counts[0] == counts[1] > 10
