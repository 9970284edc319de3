"""`sdpose report RUN`: one page about a run: verdict, curves, alarms, causes, AP, samples, how to do it again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("report", help="one page about a run", description=__doc__)
    parser.add_argument("work_dir", type=Path, metavar="RUN", help="work dir of a run")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: report.html (or report.md) in the run's folder"
    )
    parser.add_argument("--md", action="store_true", help="Markdown instead of HTML")
    parser.add_argument("--lang", choices=("en", "ko"), help="language (default: the locale's)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, whatever the run came to; 2 for a folder without one."""
    from sdpose.errors import SdposeError
    from sdpose.monitor.language import choose_language
    from sdpose.report.write import write_report

    out = args.out or args.work_dir / ("report.md" if args.md else "report.html")
    if out.is_dir():
        raise SdposeError(f"--out {out} is a folder; name the file to be written")
    if args.out is not None and not out.absolute().parent.is_dir():
        raise SdposeError(f"--out {out}: there is no folder {out.parent}; make it first")
    if not os.access(out.absolute().parent, os.W_OK) and args.work_dir.is_dir():
        raise SdposeError(f"{out}: the folder may not be written; name another place with --out FILE")
    write_report(args.work_dir, out, language=choose_language(args.lang), markdown=args.md)
    print(out)
    return 0
