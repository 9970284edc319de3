"""What the commands need beside a sandbox: why some are not run, exit codes, and words that make them small.

Keys are beginnings: of the command as the page writes it, or of `page: command` where one page is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from page_text import Command

Value = TypeVar("Value")

_MINUTES = "takes minutes; "
# Not run, and why.
EXCUSED: Mapping[str, str] = {
    "make ": "makes an environment, or runs all tests; continuous integration does both on a fresh clone",
    "source .venv/bin/activate": "the tests run in an environment already",
    "sdpose demo": f"{_MINUTES}its four steps are commands of their own, and are run",
    "bash tools/dist_": "four processes; tests/run/test_run_processes.py runs both scripts with two",
    "python -m benchmarks": f"{_MINUTES}meaningful only on an idle machine",
    "sdpose predict latest.pth 0 ": "needs a camera",
    "sdpose verify-resume": "starts three processes; tests/run/test_run_resume.py proves a resume with it",
    "sdpose train CONFIG --set rates.py": f"{_MINUTES}tests/run/test_run_sweep.py trains a smaller set",
    "docs/sweeps.md: sdpose compare": "names runs of that set; docs/report.md compares two",
    "docs/deploy.md: sdpose export best.pth --format openvino": "OpenVINO is an optional package of 180 MB",
    "docs/deploy.md: sdpose export best.pth --with-normalize": "tests/export/conftest.py makes this file, in 15 s",
}

# Other exit codes than 0.
EXIT_CODES: Mapping[str, tuple[int, ...]] = {
    # A run of four iterations gives no grounds for a cause.
    "sdpose explain": (0, 1),
    # Faults found in a run that learnt nothing, or in other people's invented log.
    "sdpose diagnose": (0, 1),
    # Trained with a learning rate of 1e30, on purpose.
    "sdpose train configs/demo/sdpose_demo.py --work-dir work_dirs/broken": (1,),
    # grep found nothing.
    "grep -i": (0, 1),
    # Four images of tiny people do not pass every question.
    "sdpose check": (0, 1),
    "python tools/quick_check.py": (0, 1),
}

# Added at the end, where later words win.
SMALLER_WORDS: Mapping[str, tuple[str, ...]] = {
    "sdpose data synth": ("--train", "12", "--val", "4", "--size", "128x128"),
    "sdpose train $CONFIG --cfg-options data.workers_per_gpu=4": ("data.workers_per_gpu=1",),
    # What it would find out by itself, `sdpose explain` is then asked.
    "sdpose train configs/demo/sdpose_demo.py --work-dir work_dirs/broken": ("monitor.explain=False",),
    "sdpose check": ("--time-box", "1"),
    "python tools/quick_check.py": ("--time-box", "1"),
    # Any free port: another test, or another person, may have the usual one.
    "sdpose watch": ("--port", "0"),
    "sdpose export": ("--images", "12", "--calibration-crops", "8"),
}


def starts_with(command: Command, table: Mapping[str, Value]) -> Value | None:
    """The entry for a command; one that names the page is taken first."""
    for text in (f"{command.page}: {command.text}", command.text):
        for beginning, value in table.items():
            if text.startswith(beginning):
                return value
    return None
