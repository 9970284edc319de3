"""From a person to a crop: the published pixels, and a sample that depends on its key alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_coco import content, write_annotations, write_images, write_set

from sdpose.data.augment import Augmentation, draw, sample_generator
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, Sample, SampleKey
from sdpose.data.photometric import PhotometricDistortion
from sdpose.errors import SdposeError
from sdpose.geometry import affine_matrix, box_to_center_scale
from sdpose.skeleton import COCO17

SIZE_WH = (48, 64)


def make(folder: Path, augmentation: Augmentation | None, *, seed: int = 0) -> PoseDataset:
    ann_file, images = write_set(folder)
    table = load_coco(ann_file, images, COCO17)
    persons = table.ground_truth_persons()
    return PoseDataset(table, persons, image_size_wh=SIZE_WH, augmentation=augmentation, seed=seed)


def assert_same(a: Sample, b: Sample) -> None:
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def published_crop(
    path: str,
    center: np.ndarray,
    scale: np.ndarray,
    rotation: float,
    mirrored: bool,
    size_wh: tuple[int, int],
) -> np.ndarray:
    """The published order of work: the whole image to RGB, mirrored if need be, warped."""
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    if mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    matrix = affine_matrix(center, scale, rotation, size_wh)
    return cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_LINEAR)


def test_evaluation_crops_are_the_published_pixels(shared: Path) -> None:
    folder = shared / "data" / "coco_tiny"
    table = load_coco(folder / "person_keypoints_val.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    dataset = PoseDataset(table, persons, image_size_wh=(192, 256), augmentation=None)
    for index in range(0, len(persons), 5):
        sample = dataset[SampleKey(0, index)]
        center, scale = box_to_center_scale(persons.boxes_xywh[index], aspect_ratio=0.75)
        path = table.image_paths[int(persons.image_index[index])]
        np.testing.assert_array_equal(
            sample.image, published_crop(path, center, scale, 0.0, False, (192, 256))
        )
        np.testing.assert_array_equal(sample.center, center)
        np.testing.assert_array_equal(sample.scale, scale)
        assert (sample.index, sample.problem) == (index, None)


def test_training_crops_are_the_published_pixels_of_the_placement_drawn(shared: Path) -> None:
    folder = shared / "data" / "coco_tiny"
    table = load_coco(folder / "person_keypoints_train.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    dataset = PoseDataset(table, persons, image_size_wh=(192, 256), augmentation=Augmentation(), seed=5)
    num_mirrored = 0
    for index in range(0, len(persons), 20):
        sample = dataset[SampleKey(2, index)]
        placement = draw(
            sample_generator(5, 2, index),
            Augmentation(),
            COCO17,
            center=dataset.centers[index],
            scale=dataset.scales[index],
            joints=persons.joints[index],
            visible=persons.visible[index],
            image_width=int(table.image_sizes_wh[persons.image_index[index], 0]),
            aspect_ratio=0.75,
        )
        path = table.image_paths[int(persons.image_index[index])]
        expected = published_crop(path, *placement[:4], (192, 256))
        np.testing.assert_array_equal(sample.image, expected)
        num_mirrored += placement.mirrored
    assert 5 < num_mirrored < 25


def test_joints_stay_on_what_they_point_at(tmp_path: Path) -> None:
    """A red dot on each joint of a dark picture is found again where the sample says the joint is."""
    value = content(num_images=1, people_per_image=1, size_wh=(400, 300))
    joints = np.random.default_rng(1).permutation(17 * 12)[:17, None] // [1, 12] % [12, 17] * [20, 12] + [
        60,
        40,
    ]
    value["annotations"][0].update(
        bbox=[50, 30, 300, 240],
        keypoints=np.concatenate([joints, np.full((17, 1), 2)], axis=1).ravel().tolist(),
    )
    picture = np.zeros((300, 400, 3), np.uint8)
    for number, (x, y) in enumerate(joints.tolist()):
        cv2.circle(picture, (x, y), 3, (0, 0, 100 + 9 * number), -1)
    images = write_images(tmp_path, value)
    table = load_coco(write_annotations(tmp_path, value), images, COCO17)
    path = Path(table.image_paths[0]).with_suffix(".png")
    cv2.imwrite(str(path), picture)
    path.rename(table.image_paths[0])  # cv2 looks at the content, not at the name
    recipe = Augmentation(half_body_prob=0, scale_factor=0.1, rot_prob=1)
    dataset = PoseDataset(
        table, table.ground_truth_persons(), image_size_wh=(192, 256), augmentation=recipe, seed=1
    )
    order = np.array(COCO17.flip_index)
    num_seen = 0
    for epoch in range(12):
        sample = dataset[SampleKey(epoch, 0)]
        mirrored = draw_mirrored(dataset, epoch)
        for number in range(17):
            x, y = sample.joints[number].round().astype(int)
            if not (3 < x < 188 and 3 < y < 252):
                continue
            drawn_as = order[number] if mirrored else number
            red = int(sample.image[y, x, 0])
            assert abs(red - (100 + 9 * drawn_as)) < 5
            num_seen += 1
    assert num_seen > 100


def draw_mirrored(dataset: PoseDataset, epoch: int) -> bool:
    rng = sample_generator(dataset.seed, epoch, 0)
    if rng.random() < 0.3:
        rng.uniform(-1, 1, 2)
    return bool(rng.random() <= 0.5)


def test_a_sample_depends_on_its_key_alone(tmp_path: Path) -> None:
    recipe = Augmentation(photometric=PhotometricDistortion())
    dataset = make(tmp_path, recipe, seed=11)
    keys = [SampleKey(epoch, index) for epoch in (0, 1) for index in range(8)]
    first = {key: dataset[key] for key in keys}
    again = make(tmp_path, recipe, seed=11)
    for key in reversed(keys):
        assert_same(again[key], first[key])
    other_seed = make(tmp_path, recipe, seed=12)
    for key in keys:
        assert not np.array_equal(other_seed[key].image, first[key].image)
    assert not np.array_equal(first[SampleKey(0, 3)].image, first[SampleKey(1, 3)].image)


def test_evaluation_has_no_randomness(tmp_path: Path) -> None:
    dataset = make(tmp_path, None, seed=1)
    other = make(tmp_path, None, seed=2)
    assert_same(dataset[SampleKey(0, 3)], other[SampleKey(9, 3)])


def test_making_samples_leaves_the_table_alone(tmp_path: Path) -> None:
    dataset = make(tmp_path, Augmentation(flip_prob=1, shift_prob=1))
    before = [array.copy() for array in (dataset.persons.joints, dataset.persons.visible, dataset.centers)]
    for index in range(8):
        dataset[SampleKey(0, index)].visible[:] = 5
    after = (dataset.persons.joints, dataset.persons.visible, dataset.centers)
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_batch_is_its_samples(tmp_path: Path) -> None:
    dataset = make(tmp_path, Augmentation())
    keys = [SampleKey(1, index) for index in (5, 0, 3)]
    batch = dataset.__getitems__(keys)
    assert len(batch) == 3
    for row, key in enumerate(keys):
        sample = dataset[key]
        np.testing.assert_array_equal(batch.images[row], sample.image)
        np.testing.assert_array_equal(batch.joints[row], sample.joints)
        np.testing.assert_array_equal(batch.visible[row], sample.visible)
        np.testing.assert_array_equal(batch.centers[row], sample.center)
        np.testing.assert_array_equal(batch.scales[row], sample.scale)
    assert batch.indices.tolist() == [5, 0, 3]
    assert batch.problems == [None, None, None]
    assert batch.images.shape == (3, 64, 48, 3)
    dtypes = [t.dtype for t in (batch.images, batch.joints, batch.visible, batch.centers, batch.indices)]
    assert dtypes == [torch.uint8, torch.float32, torch.float32, torch.float32, torch.int64]
    moved = batch.to("cpu", non_blocking=True)
    assert torch.equal(moved.images, batch.images)


@pytest.mark.parametrize(
    "augmentation", [None, Augmentation(photometric=PhotometricDistortion())], ids=["eval", "train"]
)
def test_a_broken_image_gives_a_black_crop_with_nothing_to_learn(
    tmp_path: Path, augmentation: Augmentation | None
) -> None:
    dataset = make(tmp_path, augmentation)
    broken = Path(dataset.table.image_paths[1])
    broken.write_bytes(b"no picture")
    keys = [SampleKey(0, index) for index in range(8)]
    batch = dataset.__getitems__(keys)
    sentence = f"{broken}: the image cannot be decoded (10 bytes; not an image, or cut short)"
    assert batch.problems == [None, None, sentence, sentence, None, None, None, None]
    assert [dataset[key].problem for key in keys] == batch.problems
    assert (batch.images[2:4] == 0).all()
    assert (batch.visible[2:4] == 0).all()
    assert (batch.visible[[0, 1, 4, 5, 6, 7]] == 1).all()


def test_other_sizes_and_skeletons_are_crops_too(tmp_path: Path) -> None:
    ann_file, images = write_set(tmp_path)
    table = load_coco(ann_file, images, COCO17)
    dataset = PoseDataset(
        table, table.ground_truth_persons(), image_size_wh=(64, 64), augmentation=None, padding=1.0
    )
    sample = dataset[SampleKey(0, 0)]
    box = table.ground_truth_persons().boxes_xywh[0]
    assert sample.image.shape == (64, 64, 3)
    np.testing.assert_allclose(sample.scale, [box[2:].max() / 200] * 2, rtol=1e-6)


def test_a_wrong_image_folder_is_refused_at_once(tmp_path: Path) -> None:
    ann_file, _ = write_set(tmp_path)
    table = load_coco(ann_file, tmp_path / "pictures", COCO17)
    with pytest.raises(SdposeError, match="pictures does not exist"):
        PoseDataset(table, table.ground_truth_persons(), image_size_wh=SIZE_WH, augmentation=None)
