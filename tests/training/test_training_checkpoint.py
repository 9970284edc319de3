"""A checkpoint gives back exactly what was saved, and nothing but data is ever loaded."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_samples import TinyNet, checkpoint_of, flip_bit, trained

from sdpose.errors import SdposeError
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, load_header, model_state, save_checkpoint
from sdpose.training.content_hash import content_hash
from sdpose.training.optim import build_optimizer, load_optimizer_state
from sdpose.training.safe_load import DamagedFileError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model, optimizer = trained()
    path = tmp_path / "epoch_1.pth"
    save_checkpoint(
        path, checkpoint_of(model, optimizer, rng=torch.get_rng_state(), losses=[0.1, 2 / 3, 6e-7])
    )
    return path


def test_round_trip_is_exact_to_the_last_bit(tmp_path: Path) -> None:
    model, optimizer = trained()
    resume = {
        "rng": torch.get_rng_state(),
        "losses": [0.1, 2 / 3, float("nan")],
        "names": ("a", "b"),
        "n": None,
    }
    written = checkpoint_of(model, optimizer, **resume)
    save_checkpoint(tmp_path / "x.pth", written)
    read = load_checkpoint(tmp_path / "x.pth")
    for part in ("meta", "state_dict", "optimizer", "resume"):
        assert content_hash(getattr(read, part)) == content_hash(getattr(written, part)), part
    assert list(read.state_dict) == list(model.state_dict())
    assert (read.origin, read.epoch, read.iteration) == ("sdpose", 1, 130)
    other = TinyNet()
    other.load_state_dict(read.state_dict)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_the_layout_is_that_of_the_genuine_checkpoint(saved: Path, parity: Path) -> None:
    genuine = json.loads((parity / "runner_sample" / "checkpoints.json").read_text())
    content = torch.load(saved, weights_only=True)
    assert list(content) == [*genuine["latest_keys"], "sdpose"]
    assert list(content["meta"]) == list(genuine["latest_meta"])
    assert list(content["optimizer"]) == genuine["optimizer_keys"]
    assert list(content["optimizer"]["param_groups"][0]) == genuine["param_group_keys"]
    assert content["meta"]["mmcv_version"] == genuine["latest_meta"]["mmcv_version"]
    assert isinstance(content["state_dict"], OrderedDict)


def test_loading_the_way_mmcv_does_restores_model_and_optimizer(saved: Path) -> None:
    """mmcv 1.x: torch.load, strict load_state_dict, optimizer.load_state_dict, meta epoch and iter."""
    model, _ = trained()
    content = torch.load(saved, map_location="cpu", weights_only=False)
    other = TinyNet()
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-2)
    other.load_state_dict(content["state_dict"], strict=True)
    optimizer.load_state_dict(content["optimizer"])
    assert torch.equal(other.conv.weight, model.conv.weight)
    assert (content["meta"]["epoch"], content["meta"]["iter"]) == (1, 130)
    assert optimizer.param_groups[0]["initial_lr"] == 1e-2


def official_file(
    path: Path, *, scalar: Any, epoch: int = 6, iteration: int = 780, steps: int = 2
) -> Checkpoint:
    """As mmcv 1.3.8 writes it, with the numpy number of EvalHook in hook_msgs."""
    model, optimizer = trained(steps=steps)
    ours = checkpoint_of(model, optimizer, epoch=epoch, iteration=iteration)
    ours.meta["hook_msgs"] = {
        "last_ckpt": "epoch_5.pth",
        "best_score": scalar,
        "best_ckpt": "best_AP_epoch_4.pth",
    }
    torch.save({"meta": ours.meta, "state_dict": ours.state_dict, "optimizer": ours.optimizer}, path)
    return ours


@pytest.mark.parametrize("scalar", [np.float64(0.45), np.float32(0.5), np.int64(3), np.bool_(True), 0.45])
def test_an_official_checkpoint_with_a_numpy_number_loads(tmp_path: Path, scalar: Any) -> None:
    path = tmp_path / "epoch_6.pth"
    written = official_file(path, scalar=scalar)
    read = load_checkpoint(path)
    score = read.hook_msgs["best_score"]
    assert type(score) in (float, int, bool)
    assert score == scalar
    assert (read.origin, read.epoch, read.iteration, read.resume) == ("mmcv", 6, 780, None)
    assert content_hash(dict(read.state_dict)) == content_hash(dict(written.state_dict))
    model = TinyNet()
    assert read.optimizer is not None
    load_optimizer_state(build_optimizer(model, "Adam", 1e-2), read.optimizer, source=path.name)


def test_numpy_1_wrote_the_same_number_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "epoch_6.pth"
    official_file(path, scalar=np.float64(0.45))
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in data
                data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            target.writestr(name.replace("epoch_6", "old"), data)
    assert load_checkpoint(old).hook_msgs["best_score"] == 0.45


def test_the_wrong_place_that_mmcv_writes_after_a_resume_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "epoch_3.pth"
    official_file(path, scalar=np.float64(0.45), epoch=2, iteration=4, steps=6)
    read = load_checkpoint(path)
    assert (read.epoch, read.iteration) == (3, 6)
    assert "known fault of mmcv 1.3.8" in read.notes[0]


def test_a_renamed_official_file_keeps_its_place_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "epoch_9.pth"
    official_file(path, scalar=np.float64(0.45), epoch=2, iteration=2, steps=2)
    read = load_checkpoint(path)
    assert (read.epoch, read.iteration) == (2, 2)
    assert "does not fit its name" in read.notes[0]


@pytest.mark.parametrize("legacy", [False, True])
def test_bare_weights_are_accepted_as_weights_only(tmp_path: Path, legacy: bool) -> None:
    weights = dict(TinyNet().state_dict())
    torch.save(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    read = load_checkpoint(tmp_path / "w.pth")
    assert read.origin == "weights"
    assert content_hash(dict(read.state_dict)) == content_hash(weights)
    with pytest.raises(SdposeError, match="--load-from"):
        read.require_resumable()


def test_a_header_is_read_without_the_tensors(saved: Path) -> None:
    header = load_header(saved)
    assert (header.epoch, header.iteration, header.origin) == (1, 130, "sdpose")


class Shell:
    """What a hostile file holds: a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["meta", "state_dict"])
def test_a_file_that_wants_to_run_code_is_refused_and_nothing_runs(
    tmp_path: Path, where: str, legacy: bool
) -> None:
    trace = tmp_path / "ran"
    content = {
        "meta": {"epoch": 1, "iter": 1},
        "state_dict": {"a": torch.ones(1)},
        where: {"a": Shell(trace)},
    }
    path = tmp_path / "evil.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(SdposeError, match=r"asks to run \w+\.mkdir while being loaded, which is refused"):
        load_checkpoint(path)
    assert not trace.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(SdposeError, match=r"asks to run torch\.nn\.modules\.linear\.Linear"):
        load_checkpoint(tmp_path / "module.pth")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_its_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def weight_flipped(path: Path) -> None:
    flip_bit(path, path.read_bytes().find(TinyWeights))


def learning_rate_flipped(path: Path) -> None:
    # The eight bytes of initial_lr in the pickle, big-endian after the opcode G.
    import struct

    flip_bit(path, path.read_bytes().find(b"G" + struct.pack(">d", 1e-2)) + 8)


TinyWeights = trained()[0].conv.weight.detach().numpy().tobytes()


@pytest.mark.parametrize(
    "damage", [empty, halved, without_its_last_byte, zeroed, weight_flipped, learning_rate_flipped]
)
def test_damage_is_found(saved: Path, damage: Callable[[Path], None]) -> None:
    before = saved.read_bytes()
    damage(saved)
    assert saved.read_bytes() != before
    with pytest.raises(
        DamagedFileError, match=r"epoch_1\.pth is damaged \(.+\); copy it again from its source"
    ):
        load_checkpoint(saved)


def test_a_flipped_bit_in_an_official_file_without_hash_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "epoch_6.pth"
    official_file(path, scalar=np.float64(0.45))
    flip_bit(path, path.read_bytes().find(TinyWeights))
    with pytest.raises(DamagedFileError, match="have changed"):
        load_checkpoint(path)


def test_no_flipped_bit_anywhere_escapes_as_another_exception_or_as_changed_content(tmp_path: Path) -> None:
    path, good = tmp_path / "x.pth", tmp_path / "good.pth"
    save_checkpoint(good, Checkpoint({"epoch": 1, "iter": 2}, {"a": torch.arange(4.0)}, {}, {}))
    data = good.read_bytes()
    expected = load_checkpoint(good)
    refused = 0
    for offset in range(0, len(data), 3):
        path.write_bytes(data)
        flip_bit(path, offset)
        try:
            read = load_checkpoint(path)
        except SdposeError:
            refused += 1
            continue
        assert (read.meta, read.optimizer, read.resume) == (
            expected.meta,
            expected.optimizer,
            expected.resume,
        )
        assert torch.equal(read.state_dict["a"], expected.state_dict["a"])
    assert refused > 100


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.write_text("epoch: 1\n"), "is a text file, not a checkpoint"),
        (lambda path: path.write_text(json.dumps({"state_dict": {}})), "is a text file, not a checkpoint"),
        (
            lambda path: path.write_bytes(pickle.dumps({"state_dict": {}})),
            "is a Python pickle, not a checkpoint",
        ),
        (write_zip, "is a zip archive with readme.txt inside"),
        (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF"), "is something else, not a checkpoint"),
        (lambda path: torch.save([1, 2], path), "holds a list, not a checkpoint"),
        (lambda path: torch.save({}, path), "expected a dict with 'state_dict'"),
        (
            lambda path: torch.save({"model": {}, "epoch": 3}, path),
            "the keys model, epoch; expected 'state_dict'",
        ),
        (lambda path: torch.save({"state_dict": [1]}, path), "'state_dict' in"),
        (lambda path: path.mkdir(), "is a folder; name a checkpoint file in it"),
        (lambda path: path.symlink_to("epoch_9.pth"), "points to epoch_9.pth, which is gone"),
        (lambda path: None, "there is no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_named_for_what_it_is(tmp_path: Path, write: Any, told: str) -> None:
    path = tmp_path / "wanted.pth"
    write(path)
    with pytest.raises(SdposeError) as caught:
        load_checkpoint(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_offers_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "epoch_10.pth").write_bytes(b"x")
    with pytest.raises(SdposeError, match=r"holds epoch_10\.pth\. Did you mean 'epoch_10\.pth'\?"):
        load_checkpoint(tmp_path / "epoch_1O.pth")
    with pytest.raises(SdposeError, match="does not exist either"):
        load_checkpoint(tmp_path / "no" / "where.pth")
    with pytest.raises(SdposeError, match="download the file first"):
        load_checkpoint("https://example.org/epoch_1.pth")


def test_a_file_of_a_newer_format_asks_for_an_upgrade(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    content["sdpose"]["format"] = 99
    torch.save(content, saved)
    with pytest.raises(SdposeError, match=r"in format 99.*upgrade sdpose"):
        load_checkpoint(saved)


def test_content_that_could_not_be_loaded_back_is_refused_when_saving(tmp_path: Path) -> None:
    model, optimizer = trained()
    with pytest.raises(TypeError, match=r"sdpose\.resume\.monitor\.best is a numpy\.float64"):
        save_checkpoint(
            tmp_path / "x.pth", checkpoint_of(model, optimizer, monitor={"best": np.float64(0.5)})
        )
    assert list(tmp_path.iterdir()) == []


def test_wrappers_of_ddp_and_compile_leave_no_trace_in_the_keys() -> None:
    model = TinyNet()
    compiled = torch.compile(model, backend="eager")
    assert list(model_state(compiled)) == list(model.state_dict())


def test_the_hash_sees_values_order_and_types_but_not_memory_layout() -> None:
    image = torch.randn(2, 3, 4, 5)
    assert content_hash(image) == content_hash(image.to(memory_format=torch.channels_last))
    assert content_hash({"a": 1, "b": 2}) == content_hash(OrderedDict(a=1, b=2))
    different = [
        None, True, 1, 1.0, "1", b"1", [1], (1,), {1: 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, [[1], 2], [[1,
        2]], torch.tensor(1), torch.tensor(1.0), torch.tensor([1.0]), torch.tensor(1.0,
        dtype=torch.bfloat16), torch.zeros(0), torch.zeros(0, 2), 0.0, -0.0, "", [],
    ]  # fmt: skip
    assert len({content_hash(value) for value in different}) == len(different)
