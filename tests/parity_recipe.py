"""`recipe`: the module that makes the inputs of the stored reference numbers, loaded from beside them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).resolve().parent / "fixtures" / "parity" / "recipe.py"
_spec = importlib.util.spec_from_file_location("parity_fixture_recipe", _PATH)
assert _spec is not None
assert _spec.loader is not None
recipe = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recipe)
