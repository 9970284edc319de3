"""`sdpose watch`: a page on this machine that shows runs while they train, ours and other people's.

It needs nothing from the training and writes nothing; `http://127.0.0.1:8088/` is seen by this machine only. From
another one: `ssh -L 8088:127.0.0.1:8088 HOST`, then the same address there.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("watch", help="live page of your runs in a browser", description=__doc__)
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("work_dirs")],
        metavar="PATH",
        help="folders with runs below them, or logs of any trainer (default: work_dirs)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8088, help="0 takes any that is free (%(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in your browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; that is a good end."""
    try:
        from sdpose.dashboard.serve import watch
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise SdposeError(f"the page needs {error.name}: pip install 'sdpose[watch]'") from error

    def opened(address: str) -> None:
        if args.open:
            import webbrowser

            webbrowser.open(address)

    with contextlib.suppress(KeyboardInterrupt):
        watch(
            args.paths,
            host=args.host,
            port=args.port,
            say=lambda line: print(line, file=sys.stdout, flush=True),
            opened=opened,
        )
    return 0
