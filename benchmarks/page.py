"""Writes the measured parts of docs/performance.md: its tables and its two pictures, from the committed numbers.

    python -m benchmarks.page

Measure first, on a quiet machine: `--write` with `benchmarks.quick`, `limits`, `growth` and `startup`.
What stands between `<!-- measured: NAME -->` and `<!-- end -->` is replaced, the
rest is written by people. A test holds that page and numbers agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import growth, limits, startup
from benchmarks.charts import aims_chart, growth_chart
from benchmarks.curve import Curve, is_followed, law_in_words
from benchmarks.limits import Distance
from benchmarks.processes import WIRES, TwoProcesses, ring_s
from benchmarks.startup import ROOT
from benchmarks.table import read_table

PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
_BLOCK = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- end -->", re.DOTALL)

# Milliseconds a person of the official code on this kind of machine, from issue 5; two ends where two were measured.
OFFICIAL_MS = {
    "training input": (6.4, 7.0),
    "evaluation input": (4.2, 4.2),
    "decoding of heatmaps": (1.3, 1.3),
}
# What decoding a photograph of COCO took on that machine: how much faster today's is, is not ours to claim.
OFFICIAL_JPEG_MS = 1.7
# Its share of the matrix product's speed in a training step, batch 16, two threads.
OFFICIAL_SHARE = {"training step": 0.21}


def main() -> None:
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for name, picture in pictures().items():
        (IMAGES / name).write_text(picture, encoding="utf-8")


def updated(text: str) -> str:
    """The page with all measured blocks as the committed numbers say. Raises KeyError for a block nobody measures."""
    return _BLOCK.sub(
        lambda found: f"<!-- measured: {found[1]} -->\n{BLOCKS[found[1]]()}\n<!-- end -->", text
    )


def pictures() -> dict[str, str]:
    """File name -> SVG."""
    table = read_table()
    return {
        "performance-aims.svg": aims_chart([row.ratio for row in table.rows] if table else []),
        "performance-growth.svg": growth_chart(list(curves().values())),
    }


def curves() -> dict[str, Curve]:
    content = _read(growth.KEPT)
    names = {each.name for each in fields(Curve)}
    return {
        key: Curve(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in content[key].items()
                if name in names
            }
        )
        for key in growth.CURVES
        if key in content
    }


def distances() -> list[Distance]:
    return [Distance(**stage) for stage in _read(limits.KEPT)["stages"]]


def ratios_block() -> str:
    table = read_table()
    if table is None:
        return "Nothing was measured yet."
    lines = [
        f"{table.cpu}, {table.cores} cores, torch {table.torch}, {table.date}, commit {table.commit}.",
        "",
        *_warned(table.warning),
    ]
    lines += ["| ratio | value | quartiles | aim | behind it |", "|---|---|---|---|---|"]
    for ratio in (row.ratio for row in table.rows):
        sign = "at least" if ratio.better == "higher" else "at most"
        aim = "" if ratio.aim is None else f"{sign} {ratio.aim:g}{'' if ratio.reached else ', missed'}"
        lines.append(
            f"| {ratio.name} | {ratio.value:.3g} | {ratio.low:.3g} to {ratio.high:.3g} | {aim} | {ratio.detail} |"
        )
    return "\n".join(lines)


def official_block() -> str:
    jpeg_ms = next(each.floor_ms for each in distances() if each.stage.startswith("training input"))
    faster = OFFICIAL_JPEG_MS / jpeg_ms
    lines = [
        f"A photograph is decoded in {jpeg_ms:.2g} ms here and took {OFFICIAL_JPEG_MS:g} ms there, so this machine is "
        f"{faster:.1f} times as fast; the last column leaves that out.",
        "",
        "| stage, ms a person on one core | official | ours | times faster | on equal machines |",
        "|---|---|---|---|---|",
    ]
    for each in distances():
        stage = each.stage.partition(",")[0]
        if stage in OFFICIAL_MS:
            low, high = OFFICIAL_MS[stage]
            official = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            times = low / each.ours_ms
            lines.append(
                f"| {each.stage} | {official} | {each.ours_ms:.2f} | {times:.1f} | {times / faster:.1f} |"
            )
        if stage in OFFICIAL_SHARE:
            share = OFFICIAL_SHARE[stage]
            lines.append(
                f"| {each.stage}: share of the matrix product | {share:g} | {each.share:.2f} | | "
                f"{each.share / share:.1f} |"
            )
    return "\n".join(lines)


def limits_block() -> str:
    content = _read(limits.KEPT)
    speeds = "; ".join(
        f"{threads}: " + ", ".join(f"{value:.3g} {name}" for name, value in speed.items())
        for threads, speed in content["speeds"].items()
    )
    lines = [f"{content['cpu']}. {speeds}.", "", *_warned(content["warning"])]
    lines += ["| stage | floor | ms of the floor | ours, ms | share |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.stage} | {each.floor} | {each.floor_ms:.3g} | {each.ours_ms:.3g} | {each.share:.2f} |"
        for each in distances()
    ]
    return "\n".join(lines)


def growth_block() -> str:
    lines = _warned(_read(growth.KEPT)["warning"])
    lines += [
        "| cost | law through the points | R2 | farthest point | repeats apart | power | |",
        "|---|---|---|---|---|---|---|",
    ]
    for curve in curves().values():
        verdict = "straight" if curve.degree == 1 else "a line and a square"
        noise = f"{100 * max(curve.noise):.0f} %" if curve.noise else ""
        lines.append(
            f"| {curve.name}, {min(curve.x):g} to {max(curve.x):g} | {law_in_words(curve)} | "
            f"{curve.r_squared:.3f} | {100 * curve.worst_miss:.0f} % | {noise} | {curve.power:.2f} | "
            f"{'' if is_followed(curve) else 'not '}{verdict} |"
        )
    return "\n".join(lines)


def processes_block() -> str:
    content = _read(growth.KEPT)
    if "processes" not in content:
        return "Not measured yet."
    two = TwoProcesses(**content["processes"])
    lines = [
        f"Batch {two.samples} in each process: one alone takes {two.alone_s:.2f} s a step, two together "
        f"{two.together_s:.2f} s, which is {two.efficiency:.2f} of twice the speed. Without the exchange "
        f"(`no_sync`) a step takes {two.silent_s:.2f} s: communication is {100 * two.communication:.1f} % of it. The "
        f"exchange by itself takes {1e3 * two.exchange_s:.1f} ms for {two.gradient_bytes / 1e6:.1f} MB of gradients, "
        f"{two.bytes_a_s / 1e9:.2f} GB/s.",
        "",
        f"| ms to exchange {two.gradient_bytes / 1e6:.1f} MB, nothing of it hidden | 2 processes | 4 | 8 |",
        "|---|---|---|---|",
    ]
    for wire, (bytes_a_s, latency_s) in WIRES.items():
        times = (1e3 * ring_s(two.gradient_bytes, n, bytes_a_s, latency_s) for n in (2, 4, 8))
        lines.append(f"| {wire} | " + " | ".join(f"{each:.2f}" for each in times) + " |")
    return "\n".join(lines)


def startup_block() -> str:
    content = _read(startup.KEPT)
    first = startup.FirstStep(**content["first_step"])
    lines = [
        f"`sdpose train`, {content['persons']:,} persons, batch {content['samples']}, from the start of the process: "
        "everything is built after "
        f"{first.built_s:.1f} s, the first batch is there after {first.batch_s:.1f} s (aim: "
        f"{startup.FIRST_STEP_AIM_S:g} s), and iteration 1 is done after {first.step_s:.1f} s.",
        "",
        *_warned(content["warning"]),
        "| before the first step | processor seconds |",
        "|---|---|",
    ]
    lines += [f"| {name} | {elapsed_s:.2f} |" for name, elapsed_s in content["phases_s"].items()]
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "ratios": ratios_block,
    "official": official_block,
    "limits": limits_block,
    "growth": growth_block,
    "processes": processes_block,
    "startup": startup_block,
}


def _warned(warning: str) -> list[str]:
    """A paragraph, where there is something to say."""
    return [f"**Preliminary:** {warning}.", ""] if warning else []


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
