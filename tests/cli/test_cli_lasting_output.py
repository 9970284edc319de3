"""A training goes on when nobody looks at it any more."""

from __future__ import annotations

import os
import subprocess
import sys

PRINTS = """
import sys
from sdpose.cli.lasting_output import lasting_output
with lasting_output():
    print("first", flush=True)
    sys.stdin.readline()
    for _ in range(3):
        print("nobody reads this", flush=True)
        sys.stderr.write("nor this\\n")
sys.exit(7)
"""


def test_a_reader_that_goes_away_ends_nothing() -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS], stdin=subprocess.PIPE, stdout=write, stderr=write, text=True
    ) as process:
        os.close(write)
        shown = b""
        while b"\n" not in shown:
            shown += os.read(read, 100)
        assert shown == b"first\n"
        os.close(read)
        process.communicate("go on\n", timeout=60)
    assert process.returncode == 7
