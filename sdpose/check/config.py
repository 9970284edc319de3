"""The config: is it read, and does it fit itself, the data and the disk?"""

from __future__ import annotations

from collections.abc import Iterator

from sdpose.assemble.data import skeleton_of
from sdpose.check.folders import start_lines, work_dir_line
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.check.settings_fit import epoch_length_or_none, schedule_lines, size_line
from sdpose.check.skeleton_fit import flip_pair_line, sigma_line


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Settings against each other, without looking at a picture."""
    settings = preflight.settings
    yield CheckLine("config", "pass", f"{settings.path} is read and every setting is known")
    for note in settings.notes:
        yield CheckLine("config", "pass", note)
    yield size_line(settings)
    skeleton = skeleton_of(settings.data.train)
    yield flip_pair_line(skeleton)
    yield sigma_line(skeleton)
    other = [split for split in ("val", "test") if skeleton_of(getattr(settings.data, split)) != skeleton]
    if other:
        yield CheckLine(
            "skeleton",
            "fail",
            f"data.{other[0]}.dataset_info differs from that of data.train",
            "give all three the same dataset_info, or scores mean nothing",
        )
    yield from schedule_lines(preflight, epoch_length_or_none(preflight))
    yield work_dir_line(settings)
    yield from start_lines(preflight)
