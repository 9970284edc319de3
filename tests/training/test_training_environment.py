"""The environment report and the random state that rides in a checkpoint."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sdpose import __version__
from sdpose.errors import SdposeError
from sdpose.training.environment import environment_info, environment_text
from sdpose.training.random_state import random_state, restore_random_state


def test_the_report_names_what_decides_a_run() -> None:
    info = environment_info()
    assert info["PyTorch"] == torch.__version__
    assert info["sdpose"].startswith(__version__)
    assert info["CUDA available"] == str(torch.cuda.is_available())
    assert all(isinstance(value, str) and "\n" not in value for value in info.values())
    assert environment_text().splitlines()[0] == f"sys.platform: {sys.platform}"
    assert len(environment_text().splitlines()) == len(info)


def test_the_report_imports_nothing_heavy() -> None:
    program = "import sys; from sdpose.training.environment import environment_text; environment_text()"
    check = "; print(sorted({'cv2', 'pydantic', 'tensorboard', 'faster_coco_eval'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program + check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_draws_go_on_where_they_were() -> None:
    cpu = torch.device("cpu")
    torch.manual_seed(3)
    torch.rand(7)
    state = random_state(cpu)
    expected = torch.rand(5)
    torch.manual_seed(0)
    restore_random_state(state, cpu)
    assert torch.equal(torch.rand(5), expected)
    with pytest.raises(SdposeError, match="expected 'cpu'"):
        restore_random_state({}, cpu)
