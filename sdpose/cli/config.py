"""`sdpose config CONFIG`: print the resolved settings, as a config file, and the notes about them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sdpose.cli.options import add_config_options


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("config", help="print what a config resolves to", description=__doc__)
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The settings go to stdout (`sdpose config A.py > B.py` gives a config again), the notes to stderr."""
    from sdpose.config.settings import load_settings

    settings = load_settings(args.config, cfg_options=args.cfg_options, data_root=args.data_root)
    print(settings.python_text(), end="")
    for note in settings.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0
