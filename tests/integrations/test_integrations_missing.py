"""An adapter whose framework is missing says how to install it; runs where none of them is installed."""

from __future__ import annotations

import importlib
import re
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lightning", "needs it: pip install lightning"),
        ("pytorch_lightning", "needs it: pip install pytorch-lightning"),
        ("transformers", "needs it: pip install transformers accelerate"),
        ("mmengine", "needs it: pip install mmengine"),
        (
            "mmcv",
            "needs the runner of mmcv 1.x: pip install 'mmcv<2' (with mmcv 2 use sdpose.integrations.mmengine)",
        ),
    ],
)
def test_a_framework_that_is_missing_is_named_with_its_install_command(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [module for module in sys.modules if module.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"sdpose.integrations.{name}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=f"^{re.escape(f'sdpose.integrations.{name} {message}')}$"):
        importlib.import_module(f"sdpose.integrations.{name}")
