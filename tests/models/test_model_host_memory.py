"""Freed memory stays with the process, where the C library can be told so."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from sdpose.models import keep_freed_memory
kept = {keep} and keep_freed_memory()
torch.set_num_threads(1)
torch.empty(12_000_000).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(60):
    torch.empty(12_000_000).fill_(1)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(keep: bool) -> tuple[bool, int]:
    """Whether it was done, and how many pages were mapped anew by sixty tensors of 48 MB."""
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    kept, faults = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return kept == "1", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_pages_are_mapped_once() -> None:
    _, faults_before = run(keep=False)
    done, faults_after = run(keep=True)
    assert done
    # A few other places may have to be found first (six were seen), but not sixty.
    assert faults_after < faults_before / 4


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdpose.models import host_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert host_memory.keep_freed_memory() is False
