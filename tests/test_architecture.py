"""The import table of docs/architecture.md, held against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sdpose"

# room -> rooms of sdpose it may use, third-party packages it may use. `errors` is open to all but the monitor.
BELOW_FIT = {
    "skeleton",
    "geometry",
    "heatmaps",
    "monitor",
    "models",
    "data",
    "evaluation",
    "training",
    "config",
    "draw",
}
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "skeleton": (set(), set()),
    "geometry": ({"skeleton"}, {"numpy", "cv2"}),
    "heatmaps": ({"skeleton"}, {"torch"}),
    "monitor": (set(), {"numpy"}),
    "dashboard": ({"monitor"}, {"numpy", "starlette", "uvicorn"}),
    "models": (set(), {"torch"}),
    "data": ({"skeleton", "geometry"}, {"numpy", "cv2", "msgspec", "torch"}),
    "evaluation": ({"skeleton", "geometry", "heatmaps"}, {"numpy", "torch", "faster_coco_eval"}),
    "training": ({"monitor"}, {"torch"}),
    "config": (set(), {"pydantic", "pydantic_core"}),
    "draw": ({"skeleton", "geometry"}, {"numpy", "cv2"}),
    "assemble": (BELOW_FIT, {"torch"}),
    "picture": (BELOW_FIT | {"assemble"}, {"numpy", "cv2"}),
    "past_evaluations": ({"evaluation", "training"}, set()),
    "trained_model": (BELOW_FIT | {"assemble"}, {"torch"}),
    "predict": (
        BELOW_FIT | {"assemble", "trained_model"},
        {"numpy", "torch", "cv2", "supervision", "onnx", "onnxruntime"},
    ),
    "export": (
        BELOW_FIT | {"assemble", "predict", "trained_model"},
        {"numpy", "torch", "cv2", "onnx", "onnxruntime", "onnxscript", "openvino"},
    ),
    "evaluate": (BELOW_FIT | {"assemble", "past_evaluations", "picture"}, {"torch"}),
    "evaluate_checkpoint": (BELOW_FIT | {"assemble", "evaluate", "picture"}, {"numpy"}),
    "explain": (BELOW_FIT | {"assemble"}, {"torch", "numpy"}),
    "report": (
        {"monitor", "config", "skeleton", "evaluation", "past_evaluations", "training", "draw"},
        {"numpy", "cv2"},
    ),
    "run": (BELOW_FIT | {"assemble", "evaluate"}, {"torch"}),
    "fit": (BELOW_FIT | {"assemble", "evaluate", "explain", "report", "run"}, {"torch"}),
    "check": (BELOW_FIT | {"assemble"}, {"torch", "numpy", "cv2"}),
    "verify": (BELOW_FIT | {"assemble", "fit"}, {"torch"}),
    "sweep": ({"monitor", "config", "report", "training"}, set()),
    "integrations": (
        {"monitor"},
        {"torch", "lightning", "pytorch_lightning", "transformers", "mmengine", "mmcv"},
    ),
}
FREE_ROOMS = {"cli"}
# Imported in the function that needs them, with the command that installs them when they are missing.
OPTIONAL = {"training": {"tensorboard", "mlflow", "pynvml", "sqlalchemy", "wandb"}, "monitor": {"apprise"}}
LATE_ONLY = {"torch", "cv2", "pydantic", "faster_coco_eval", "numpy"}


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str, bool]]:
    """(line, dotted name, at module level) of every absolute import; `if TYPE_CHECKING` blocks do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[tuple[int, str, bool]] = []

    def walk(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((child.lineno, alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                found.append((child.lineno, child.module or "", top))
            walk(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    walk(tree, True)
    return found


SOURCES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path: Path) -> None:
    room = room_of(path)
    if room in FREE_ROOMS or path == PACKAGE / "__init__.py":
        return
    assert room in TABLE, f"{room} has no row in the import table: add one here and in docs/architecture.md"
    rooms, third_party = TABLE[room]
    for line, name, _ in imports_of(path):
        head, *rest = name.split(".")
        if head == "sdpose":
            target = rest[0] if rest else "__init__"
            allowed = rooms | {room, "__init__"} | (set() if room == "monitor" else {"errors"})
            assert target in allowed, f"{path}:{line}: {room} may not import sdpose.{target}"
        elif head not in sys.stdlib_module_names:
            allowed = third_party | OPTIONAL.get(room, set())
            assert head in allowed, f"{path}:{line}: {room} may not import {head}"


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if room_of(path) == "cli"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_verbs_import_heavy_packages_late(path: Path) -> None:
    if path.name == "console.py":
        return
    for line, name, top in imports_of(path):
        head, *rest = name.split(".")
        late = head in LATE_ONLY or (
            head == "sdpose" and rest and rest[0] not in {"cli", "errors", "monitor"}
        )
        assert not (top and late), (
            f"{path}:{line}: import {name} inside run(), `sdpose --help` must stay quick"
        )


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sdpose", {"torch", "numpy", "cv2", "pydantic", "rich"}),
        ("sdpose.monitor", {"torch", "cv2", "pydantic", "rich"}),
        ("sdpose.config.settings", {"torch", "cv2"}),
        ("sdpose.cli.main", {"torch", "cv2", "pydantic"}),
    ],
)
def test_light_modules_stay_light(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(sorted({absent!r} & set(sys.modules))))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in ("train", "diagnose", "runs"))])
def test_help_loads_the_standard_library_and_the_command_line_alone(words: list[str]) -> None:
    """What `sdpose --help` takes is what it imports; `benchmarks/startup.py` measures it."""
    code = (
        "import sys, contextlib, os\nbefore = set(sys.modules)\nfrom sdpose.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(open(os.devnull, 'w')):\n"
        f"    main({words!r})\n"
        "print(*(name for name in sys.modules if name not in before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    foreign = {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "sdpose"}}
    assert foreign == set()
    ours = {name for name in loaded if name.startswith("sdpose.") and not name.startswith("sdpose.cli")}
    assert ours == {"sdpose.errors"}
    # A fifth of the time, when the command line imported them before a verb needs them.
    assert {"dataclasses", "tempfile", "multiprocessing", "asyncio"} & set(loaded) == set()
