"""A pack gives the photograph's pixels to the last bit, is never half a pack, and says why it does not fit."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from small_coco import content, write_annotations, write_images, write_set

from sdpose.data.augment import Augmentation, SampleGenerator, sample_generator
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.loader import EvalLoader, TrainLoader
from sdpose.data.pack import Contents, open_pack, partial_folder
from sdpose.data.packing import PackSummary, make_pack
from sdpose.data.photometric import PhotometricDistortion
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17

SIZE_WH = (48, 64)
RECIPE = Augmentation(photometric=PhotometricDistortion())


def make(
    ann_file: Path,
    images: Path,
    augmentation: Augmentation | None = RECIPE,
    pack: Path | None = None,
    **other: Any,
) -> PoseDataset:
    table = load_coco(ann_file, images, COCO17)
    options = {"image_size_wh": SIZE_WH, "seed": 3} | other
    return PoseDataset(table, table.ground_truth_persons(), augmentation=augmentation, pack=pack, **options)


def pack_of(dataset: PoseDataset, folder: Path, num_workers: int = 0, padding: float = 1.25) -> Path:
    make_pack(folder, dataset.contents(padding), num_workers=num_workers)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """Twenty small photographs, so that a pack has several parts."""
    return write_set(tmp_path, num_images=20, people_per_image=2)


def small_people() -> dict[str, Any]:
    """Ten photographs with one person each that takes little of it."""
    value = content(num_images=10, people_per_image=1, size_wh=(400, 300))
    for number, annotation in enumerate(value["annotations"]):
        annotation["bbox"] = [100 + 5 * number, 90, 40, 60]
        points = np.array(annotation["keypoints"]).reshape(17, 3)
        points[:, 0] = 100 + 5 * number + points[:, 0] % 40
        points[:, 1] = 90 + points[:, 1] % 60
        annotation["keypoints"] = points.ravel().tolist()
    return value


def assert_same_batches(left: PoseDataset, right: PoseDataset, num_epochs: int) -> None:
    for epoch in range(num_epochs):
        keys = [SampleKey(epoch, index) for index in range(len(left))]
        a, b = left.__getitems__(keys), right.__getitems__(keys)
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.joints, b.joints)
        assert torch.equal(a.visible, b.visible)
        assert a.problems == b.problems


@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        RECIPE,
        Augmentation(shift_prob=1, shift_factor=0.5, scale_factor=0.6, rot_prob=1, half_body_prob=1),
        Augmentation(rot_factor=10, half_body_num_joints=0, half_body_prob=1),
        Augmentation(shift_prob=0, rot_prob=0, flip_prob=1),
    ],
    ids=["evaluation", "published", "wide", "half bodies", "narrow"],
)
def test_samples_are_those_of_the_photographs(
    small: tuple[Path, Path], tmp_path: Path, augmentation: Augmentation | None
) -> None:
    plain = make(*small, augmentation)
    packed = make(*small, augmentation, pack_of(plain, tmp_path / "pack"))
    assert_same_batches(plain, packed, 12)


def test_real_photographs_keep_every_pixel(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "coco_tiny"
    table = load_coco(folder / "person_keypoints_val.json", folder / "images", COCO17)
    some = table.ground_truth_persons().in_images(range(0, 68, 4))
    plain = PoseDataset(table, some, image_size_wh=(192, 256), augmentation=Augmentation())
    pack = pack_of(plain, tmp_path / "pack")
    packed = PoseDataset(table, some, image_size_wh=(192, 256), augmentation=Augmentation(), pack=pack)
    assert_same_batches(plain, packed, 3)


def test_joints_drawn_anywhere_stay_within_reach(small: tuple[Path, Path], tmp_path: Path) -> None:
    """People at the edge, upside down in scale: a crop that shows what is not packed raises ValueError."""
    value = content(num_images=6, people_per_image=3, size_wh=(300, 200))
    rng = np.random.default_rng(5)
    for annotation in value["annotations"]:
        x, y = rng.uniform(-40, 280, 2)
        annotation["bbox"] = [x, y * 0.6, rng.uniform(5, 200), rng.uniform(5, 200)]
        points = np.stack([rng.integers(0, 300, 17), rng.integers(0, 200, 17), rng.integers(0, 3, 17)], 1)
        annotation["keypoints"] = points.ravel().tolist()
    folder = tmp_path / "wild"
    folder.mkdir()
    ann_file, images = write_annotations(folder, value), write_images(folder, value)
    plain = make(ann_file, images)
    assert len(plain) > 8
    assert_same_batches(plain, make(ann_file, images, pack=pack_of(plain, tmp_path / "pack")), 60)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_workers_and_can_be_resumed(
    small: tuple[Path, Path], tmp_path: Path, num_workers: int
) -> None:
    plain = make(*small)
    packed = make(*small, pack=pack_of(plain, tmp_path / "pack"))
    expected = list(TrainLoader(plain, 8, num_workers=0, seed=1).batches(2))
    loader = TrainLoader(packed, 8, num_workers=num_workers, seed=1)
    got = list(loader.batches(2, start_batch=3))
    loader.close()
    assert all(torch.equal(a.images, b.images) for a, b in zip(got, expected[3:], strict=True))
    evaluated = list(EvalLoader(make(*small, None, tmp_path / "pack"), 8, num_workers=num_workers))
    plainly = list(EvalLoader(make(*small, None), 8, num_workers=0))
    assert all(torch.equal(a.images, b.images) for a, b in zip(evaluated, plainly, strict=True))


def test_without_its_photograph_a_pack_gives_what_lies_in_it_on_grey(tmp_path: Path) -> None:
    value = small_people()
    ann_file, images = write_annotations(tmp_path, value), write_images(tmp_path, value)
    plain = make(ann_file, images)
    packed = make(ann_file, images, pack=pack_of(plain, tmp_path / "pack"))
    whole = plain.photograph(3)[0]
    Path(plain.table.image_paths[3]).unlink()
    part = packed.photograph(3)[0]
    assert whole is not None and part is not None
    assert whole.shape == part.shape == (300, 400, 3)
    left_out = (part == 127).all(2)
    assert (part[~left_out] == whole[~left_out]).all()
    assert 0.1 < left_out.mean() < 0.9
    (Path(plain.table.image_paths[4])).unlink()
    assert plain.photograph(4) == (None, f"{plain.table.image_paths[4]}: the file is missing")


def test_a_pack_needs_no_photographs_and_can_be_moved(small: tuple[Path, Path], tmp_path: Path) -> None:
    plain = make(*small)
    keys = [SampleKey(0, index) for index in range(len(plain))]
    expected = plain.__getitems__(keys).images
    pack_of(plain, tmp_path / "pack").rename(tmp_path / "moved")
    shutil.rmtree(small[1])
    packed = make(*small, pack=tmp_path / "moved")
    assert torch.equal(packed.__getitems__(keys).images, expected)
    assert torch.equal(pickle.loads(pickle.dumps(packed)).__getitems__(keys).images, expected)


def test_a_broken_photograph_stays_the_same_problem(small: tuple[Path, Path], tmp_path: Path) -> None:
    plain = make(*small)
    Path(plain.table.image_paths[3]).write_bytes(b"no picture")
    Path(plain.table.image_paths[4]).unlink()
    packed = make(*small, pack=pack_of(plain, tmp_path / "pack"))
    assert_same_batches(plain, packed, 1)
    assert (
        sum(
            problem is not None
            for problem in packed.__getitems__([SampleKey(0, i) for i in range(40)]).problems
        )
        == 4
    )


def test_a_whole_photograph_comes_from_its_file_with_and_without_a_pack(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = make(*small)
    packed = make(*small, pack=pack_of(plain, tmp_path / "pack"))
    expected = cv2.imread(plain.table.image_paths[5])
    for dataset in (plain, packed):
        pixels, problem = dataset.photograph(5)
        np.testing.assert_array_equal(pixels, expected)
        assert problem is None


# What does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"augmentation": Augmentation(scale_factor=0.5)}, "scale_factor is 0.5, packed for 0.35"),
        ({"augmentation": Augmentation(shift_factor=0.3)}, "shift_factor is 0.3, packed for 0.16"),
        ({"padding": 1.5}, "padding is 1.5, packed for 1.25"),
        ({"image_size_wh": (64, 64)}, "image_size[0] / image_size[1] is 1, packed for 0.75"),
    ],
    ids=["scale", "shift", "padding", "shape"],
)
def test_wider_crops_are_refused_with_the_setting(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    value = small_people()
    small = write_annotations(tmp_path, value), write_images(tmp_path, value)
    pack = pack_of(make(*small), tmp_path / "pack")
    with pytest.raises(SdposeError) as error:
        make(*small, pack=pack, **options)
    assert str(error.value).startswith(f"the pack {pack} does not fit: in 10 of 10 images ")
    assert f"in 10 of 10 images crops can reach beyond what is packed ({why})" in str(error.value)
    assert "\n" not in str(error.value)


def test_narrower_crops_of_another_size_fit(small: tuple[Path, Path], tmp_path: Path) -> None:
    pack = pack_of(make(*small), tmp_path / "pack")
    options: dict[str, Any] = {"image_size_wh": (96, 128), "padding": 1.1}
    recipe = Augmentation(scale_factor=0.2, rot_factor=20)
    assert_same_batches(make(*small, recipe, **options), make(*small, recipe, pack, **options), 3)
    assert_same_batches(make(*small, None), make(*small, None, pack), 1)


def changed_boxes(value: dict[str, Any]) -> None:
    value["annotations"][0]["bbox"] = [300, 200, 40, 60]


def renamed_image(value: dict[str, Any]) -> None:
    value["images"][2]["file_name"] = "other.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed_boxes,
            "crops can reach beyond what is packed (the persons in {ann} are not those it was made for)",
        ),
        (
            renamed_image,
            "it was made for 10 images of other names, sizes or order than the 10 of the annotation file",
        ),
        (
            lambda value: value["images"].pop(),
            "it was made for 10 images of other names, sizes or order than the 9",
        ),
        (
            lambda value: value["images"][1].update(width=401),
            "it was made for 10 images of other names, sizes or",
        ),
    ],
    ids=["boxes", "name", "fewer", "size"],
)
def test_another_annotation_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    value = small_people()
    ann_file, images = write_annotations(tmp_path, value), write_images(tmp_path, value)
    pack = pack_of(make(ann_file, images), tmp_path / "pack")
    change(value)
    write_annotations(tmp_path, value)
    with pytest.raises(SdposeError) as error:
        make(ann_file, images, pack=pack)
    assert message.replace("{ann}", str(ann_file)) in str(error.value)


def test_another_photograph_under_the_same_name_is_refused(small: tuple[Path, Path], tmp_path: Path) -> None:
    plain = make(*small)
    pack = pack_of(plain, tmp_path / "pack")
    path = Path(plain.table.image_paths[7])
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(
        SdposeError, match=rf"{path} has {size + 1} bytes, it had {size} when it was packed; `sdpose"
    ):
        make(*small, pack=pack)
    path.write_bytes(Path(plain.table.image_paths[3]).read_bytes())
    summary = make_pack(pack, plain.contents(1.25), num_workers=0)
    assert (summary.cached, summary.mended) == (False, "images damaged, or changed since: 1")
    assert_same_batches(plain, make(*small, pack=pack), 1)


def test_a_photograph_that_came_back_is_packed_by_the_next_run(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = make(*small)
    path = Path(plain.table.image_paths[11])
    content = path.read_bytes()
    path.write_bytes(content[:100])
    contents = plain.contents(1.25)
    assert len(make_pack(tmp_path / "pack", contents, num_workers=0).problems) == 1
    assert make_pack(tmp_path / "pack", contents, num_workers=0).cached
    path.write_bytes(content)
    summary = make_pack(tmp_path / "pack", contents, num_workers=0)
    assert (summary.problems, summary.mended) == ((), "images damaged, or changed since: 1")
    assert_same_batches(make(*small), make(*small, pack=tmp_path / "pack"), 1)


@pytest.mark.parametrize("name", ["index.npz", "parts/00001.bin", "parts/00001.json"])
@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{")])
def test_a_file_that_is_lost_or_cut_is_made_anew(
    small: tuple[Path, Path], tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    plain = make(*small)
    pack = pack_of(plain, tmp_path / "pack")
    change(pack / name)
    summary = make_pack(pack, plain.contents(1.25), num_workers=0)
    expected = "its index was damaged" if name == "index.npz" else "images damaged, or changed since: 8"
    assert (summary.cached, summary.mended) == (False, expected)
    assert_same_batches(plain, make(*small, pack=pack), 1)


def stamp_changed(pack: Path, **entries: Any) -> None:
    stamp = json.loads((pack / "pack.json").read_text()) | entries
    (pack / "pack.json").write_text(json.dumps(stamp))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "there is no pack in {pack}; make one with `sdpose data pack CONFIG --out {pack}`"),
        (
            lambda pack: pack.rename(partial_folder(pack)),
            "there is no pack in {pack}; finish the one that was begun with `sdpose data pack CONFIG --out {pack}`",
        ),
        (lambda pack: (pack / "pack.json").write_text("{"), "{pack}/pack.json cannot be read ("),
        (
            lambda pack: stamp_changed(pack, format=7),
            "the pack {pack} has format 7, expected 2 with all its entries",
        ),
        (
            lambda pack: (pack / "pack.json").write_text('{"format": 1}'),
            "has format 1, expected 2 with all its entries",
        ),
        (
            lambda pack: (pack / "index.npz").unlink(),
            "the pack {pack} has no index.npz (No such file or directory)",
        ),
        (
            lambda pack: (pack / "index.npz").write_bytes(b"x"),
            "the pack {pack} is damaged: index.npz is not what was written; `sdpose data pack` of the",
        ),
        (
            lambda pack: (pack / "parts/00001.bin").write_bytes(b"xyz"),
            "the pack {pack} is damaged: 00001.bin has 3 bytes of ",
        ),
        (
            lambda pack: (pack / "parts/00001.bin").unlink(),
            "the pack {pack} is damaged: 00001.bin has 0 bytes of ",
        ),
    ],
    ids=[
        "absent",
        "begun",
        "cut stamp",
        "format",
        "empty stamp",
        "no index",
        "index",
        "short part",
        "no part",
    ],
)
def test_what_is_no_whole_pack_is_refused(
    small: tuple[Path, Path], tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    pack = pack_of(make(*small), tmp_path / "pack")
    damage(pack)
    with pytest.raises(SdposeError) as error:
        make(*small, pack=pack)
    assert message.replace("{pack}", str(pack)) in str(error.value)
    assert "\n" not in str(error.value)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)


def test_damaged_pixels_are_a_named_problem_and_are_mended(small: tuple[Path, Path], tmp_path: Path) -> None:
    plain = make(*small)
    pack = pack_of(plain, tmp_path / "pack")
    flip_a_byte(pack / "parts/00001.bin")
    first = int(np.flatnonzero(plain.persons.image_index == 8)[0])
    sample = make(*small, pack=pack)[SampleKey(0, first)]
    assert (
        sample.problem
        == f"{pack}/parts/00001.bin: image 8 is damaged; `sdpose data pack` of the same config mends it"
    )
    assert not sample.image.any() and not sample.visible.any()
    summary = make_pack(pack, plain.contents(1.25), num_workers=0)
    assert (summary.cached, summary.mended) == (False, "images damaged, or changed since: 1")
    assert_same_batches(plain, make(*small, pack=pack), 1)


# Making ------------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def contents(small: tuple[Path, Path]) -> Contents:
    return make(*small).contents(1.25)


def test_workers_change_no_byte_and_a_second_run_leaves_it_alone(contents: Contents, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    one = make_pack(tmp_path / "one", contents, num_workers=0, progress=lambda *now: seen.append(now))
    two = make_pack(tmp_path / "two", contents, num_workers=2)
    assert [now[1:] for now in seen] == [(0, 20), (8, 20), (16, 20), (20, 20)]
    assert tree(one.folder).keys() == tree(two.folder).keys()
    for name, value in tree(one.folder).items():
        assert name.endswith(".npz") or name == "pack.json" or tree(two.folder)[name] == value
    before = {path: path.stat().st_mtime_ns for path in one.folder.rglob("*")}
    again = make_pack(one.folder, contents, num_workers=0)
    assert again.cached and again.num_images == 20
    assert {path: path.stat().st_mtime_ns for path in one.folder.rglob("*")} == before


class Interrupted(Exception):
    pass


def test_an_interrupted_making_goes_on_where_it_stopped(contents: Contents, tmp_path: Path) -> None:
    folder = tmp_path / "pack"

    def stop(what: str, done: int, total: int) -> None:
        if done == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        make_pack(folder, contents, num_workers=0, progress=stop)
    assert not folder.exists()
    half = partial_folder(folder) / "parts" / "00001.bin"
    half.with_suffix(".unfinished").write_bytes(b"half a part")
    done = (partial_folder(folder) / "parts" / "00000.bin").stat().st_mtime_ns
    seen: list[int] = []
    make_pack(folder, contents, num_workers=0, progress=lambda what, done, total: seen.append(done))
    assert seen == [8, 16, 20]
    assert (folder / "parts" / "00000.bin").stat().st_mtime_ns == done
    assert not partial_folder(folder).exists()
    whole = make_pack(tmp_path / "whole", contents, num_workers=0).folder
    parts = {name: value for name, value in tree(whole).items() if name.startswith("parts")}
    assert {
        name: value for name, value in tree(folder).items() if name.endswith((".bin", ".json"))
    }.items() >= parts.items()


def test_what_was_begun_for_other_crops_is_begun_anew(
    small: tuple[Path, Path], contents: Contents, tmp_path: Path
) -> None:
    folder = tmp_path / "pack"
    building = partial_folder(folder)
    (building / "parts").mkdir(parents=True)
    (building / "plan.json").write_text("{}")
    (building / "parts" / "00000.json").write_text("{}")
    assert make_pack(folder, contents, num_workers=0).num_images == 20
    assert_same_batches(make(*small), make(*small, pack=folder), 1)


def test_a_disk_that_is_full_leaves_nothing_that_is_in_the_way(contents: Contents, tmp_path: Path) -> None:
    """Whatever file it was writing."""
    folder = tmp_path / "pack"
    building = partial_folder(folder)
    (building / "parts").mkdir(parents=True)
    for name in ("plan.json", "pack.json", "parts/00000"):
        (building / f"{name}.unfinished").write_text("{")
    assert make_pack(folder, contents, num_workers=0).num_images == 20


def test_who_must_wait_is_told(contents: Contents, tmp_path: Path) -> None:
    first, waited = tmp_path / "pack", threading.Event()
    answers: list[PackSummary] = []

    def second() -> None:
        answers.append(make_pack(first, contents, num_workers=0, on_wait=waited.set))

    def start_the_second(what: str, done: int, total: int) -> None:
        if done == 0:
            other.start()
            assert waited.wait(20)

    other = threading.Thread(target=second)
    assert not make_pack(first, contents, num_workers=0, progress=start_the_second).cached
    other.join()
    assert answers[0].cached


def test_nothing_else_is_overwritten(small: tuple[Path, Path], contents: Contents, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(
        SdposeError, match=r"holds files that `sdpose data pack` did not write \(thesis\.tex\); nothing"
    ):
        make_pack(mine, contents, num_workers=0)
    with pytest.raises(SdposeError, match=r"thesis\.tex is a file; expected a folder for the pack"):
        make_pack(mine / "thesis.tex", contents, num_workers=0)
    other = pack_of(make(*small, None), tmp_path / "other")
    with pytest.raises(
        SdposeError,
        match=r"holds a pack of other crops \(.*scale_factor is 0.35, packed for 0, .* nothing was touched, delete",
    ):
        make_pack(other, contents, num_workers=0)
    assert make(*small, None, other)[SampleKey(0, 0)].problem is None
    with pytest.raises(SdposeError, match="the number of workers is -1; it must be 0"):
        make_pack(tmp_path / "none", contents, num_workers=-1)


def test_a_disk_that_is_too_small_is_said_before(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": contents.num_bytes - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        SdposeError, match=r"the pack needs 0\.00 GB more, the disk of .* has 0\.00 GB free; free some"
    ):
        make_pack(tmp_path / "pack", contents, num_workers=0)
    assert not (tmp_path / "pack").exists()


def test_a_set_whose_images_have_no_persons_is_an_empty_pack(tmp_path: Path) -> None:
    small = write_set(tmp_path, num_images=3, people_per_image=1)
    dataset = make(*small)
    nobody = dataset.contents(1.25)
    nobody.rectangles[:] = 0
    pack = make_pack(tmp_path / "pack", nobody, num_workers=0)
    assert (pack.num_images, pack.num_bytes) == (0, 0)
    open_pack(pack.folder, dataset.table.image_paths, dataset.table.image_sizes_wh)


def test_one_generator_gives_the_numbers_of_many() -> None:
    one = SampleGenerator()
    for key in ((0, 0, 0), (1087365040, 3, 5), (2**63, 299, 2**39), (-1, 1, 1)):
        ours, theirs = one.of(*key), sample_generator(*key)
        for _ in range(2):
            assert ours.random() == theirs.random()
            assert ours.standard_normal() == theirs.standard_normal()
            assert ours.integers(2) == theirs.integers(2)
