"""torchrun, that ends with the code of the process that failed and leaves the words to that process.

torchrun itself ends every failure with code 1 and some thirty lines of its own traceback, in which the one line that
a user needs is lost.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun with these arguments; 0, the failed process's code, or 128 + the signal that ended it all."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        main(list(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        why = "; most often the machine had no memory left" if name == "SIGKILL" else ""
        print(
            f"sdpose: error: process {rank} was killed by {name}{why}. Go on with --resume-from auto",
            file=sys.stderr,
        )
        return 128 - int(failure.exitcode)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
