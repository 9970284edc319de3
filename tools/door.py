"""What the doors in this folder share: find a Python that has sdpose's libraries, then run the verb.

`python tools/train.py ...` is what people type. If that Python has no torch but `make setup` has made .venv, the same
command is started again with the one in .venv.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDED = ("torch", "cv2", "faster_coco_eval", "pydantic", "rich")


def open_door(verb: str) -> NoReturn:
    """Run `sdpose VERB` with this process's arguments, and end the process with its exit code."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        python = REPOSITORY / ".venv" / "bin" / "python"
        # sys.prefix, not sys.executable: inside a virtual environment the latter is a link to the same binary.
        if python.exists() and Path(sys.prefix) != REPOSITORY / ".venv":
            os.execv(python, [str(python), *sys.argv])
        print(
            f"sdpose: error: this Python ({sys.executable}) lacks {', '.join(missing)}. "
            f"Run `make setup` in {REPOSITORY}, then `source .venv/bin/activate` and try again.",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.path.insert(0, str(REPOSITORY))
    from sdpose.cli.main import leave, main

    leave(main([verb, *sys.argv[1:]]))
