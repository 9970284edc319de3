"""People drawn once for all checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from checked import copy_of, write_config

from sdpose.data.synthetic import make_dataset


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training and 40 validation pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("checked") / "set"
    make_dataset(
        folder, num_train_images=60, num_val_images=40, image_size_wh=(128, 128), seed=3, num_workers=0
    )
    return folder


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another set, whose images have the same ids."""
    folder = tmp_path_factory.mktemp("strangers") / "set"
    make_dataset(
        folder, num_train_images=60, num_val_images=40, image_size_wh=(128, 128), seed=4, num_workers=0
    )
    return folder


@pytest.fixture
def config(tmp_path: Path, people: Path) -> Path:
    """The small config over healthy data; its work_dir is `work` beside it."""
    return write_config(tmp_path, people)


@pytest.fixture
def broken(tmp_path: Path, people: Path) -> Path:
    """A copy of the set, to be broken; `write_config` makes a config of it."""
    return copy_of(people, tmp_path)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
