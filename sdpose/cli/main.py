"""`sdpose VERB ...`: one file a verb in this package.

A verb's module gives `add_parser(subparsers)` and `run(args) -> int` and imports what is heavy inside `run`, so that
`sdpose --help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from sdpose import __version__
from sdpose.cli import (
    check,
    compare,
    config,
    data,
    demo,
    diagnose,
    explain,
    export,
    info,
    predict,
    report,
    runs,
    test,
    train,
    verify_resume,
    watch,
)
from sdpose.errors import SdposeError

VERBS = (
    check,
    train,
    test,
    diagnose,
    watch,
    explain,
    runs,
    report,
    compare,
    predict,
    export,
    config,
    info,
    data,
    verify_resume,
    demo,
)

# torchrun looks at its processes every 0.1 s and gives them some time to end by themselves.
OTHERS_WAIT_S = 5.0


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="sdpose",
        description="Train, watch and run SDPose: tokenized human pose estimation by self-distillation.",
        epilog="`sdpose VERB --help` explains a verb. First steps: `sdpose demo`.",
    )
    parser.add_argument("--version", action="version", version=f"sdpose {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 well, 1 faults found or run failed, 2 a mistake, 129/130/143 signals."""
    # Read by OpenMP when torch loads: idle threads sleep instead of spinning. Beside any other busy process, the data
    # workers among them, spinning threads made an iteration of the demo take 1 to 4 s instead of 0.3 to 0.6.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows a question mark; it must not end a run at its first warning sign.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    return run_verb(args)


def run_verb(args: argparse.Namespace) -> int:
    """Run the verb that `args.run` names; a user's mistake becomes one line on stderr."""
    try:
        return int(args.run(args))
    except SdposeError as error:
        _wait_for_the_first_process()
        print(f"sdpose: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdpose: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`). Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _wait_for_the_first_process() -> None:
    """All processes of a run meet the same mistake, and one line about it is enough.

    The first one's end makes the launcher end the others while they wait here. Who is still alive afterwards is the
    only one that met it.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(OTHERS_WAIT_S)


def leave(code: int) -> NoReturn:
    """End this process; one of several ends at once, without Python's own clean-up.

    gloo's threads outlive their process group once DDP has used it, and now and then abort the process while Python
    shuts down ("terminate called without an active exception"): a run that went well would end with code 1.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def command() -> NoReturn:
    """What the installed `sdpose` command runs."""
    leave(main())


if __name__ == "__main__":
    command()
