"""`sdpose explain RUN`: play a fault again from the state before it, and find its cause by experiment."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdpose.cli.options import add_device_option

if TYPE_CHECKING:
    from sdpose.cli.console import ProgressConsole


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "explain", help="find the cause of a fault by experiment", description=__doc__
    )
    parser.add_argument(
        "run_path",
        type=Path,
        metavar="RUN",
        help="a work dir, a folder below its incidents/, or a checkpoint together with --iteration or --chain",
    )
    parser.add_argument("--iteration", type=int, metavar="N", help="the faulty iteration (1-based)")
    parser.add_argument(
        "--chain",
        "--ap",
        action="store_true",
        help="walk from files over boxes and heatmaps to AP, whatever the alert was",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: the config kept with the run")
    parser.add_argument("--data-root", metavar="DIR", help="replaces the config's data_root")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a page")
    parser.add_argument("--lang", choices=("en", "ko"), help="default: the locale's")
    add_device_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 explained, 1 not reproduced or no cause found, 2 a mistake of the user's."""
    import sys

    from sdpose.assemble.machine import choose_machine
    from sdpose.assemble.user_code import import_user_code
    from sdpose.cli.console import ProgressConsole
    from sdpose.explain import RESULT_FILE, explain_case, find_case
    from sdpose.explain.page import page_lines
    from sdpose.training.distributed import init_from_environment

    case = find_case(
        args.run_path,
        iteration=args.iteration,
        config=args.config,
        data_root=args.data_root,
        chain=True if args.chain else None,
    )
    world = init_from_environment("none", device=args.device)
    machine = choose_machine(case.settings, world.device)
    user_code = import_user_code(case.settings, lambda text: print(text, file=sys.stderr))
    with ProgressConsole() as console:
        explanation = explain_case(
            case, machine, user_code, language=args.lang, progress=_Progress(console).show
        )
    if args.json:
        print(explanation.to_json())
        return explanation.exit_code
    for line in page_lines(explanation, written=case.folder / RESULT_FILE):
        print(line)
    return explanation.exit_code


class _Progress:
    """A bar while iterations are played again; the name of each experiment after that."""

    def __init__(self, console: ProgressConsole) -> None:
        self._console = console
        self._task: Any = None
        self._total = 0

    def show(self, what: str, done: int, total: int) -> None:
        """`total` is 0 where nothing can be counted."""
        if self._task is None:
            self._task = self._console.begin(what, max(total, 1), done)
        self._total = total or self._total or 1
        self._console.update(self._task, done if total else self._total, what)
