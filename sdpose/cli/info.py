"""`sdpose info [NAME|CONFIG]`: parameters and multiply-adds of a model, part by part, beside the published figures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sdpose.errors import SdposeError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from sdpose.models.complexity import PartCost
    from sdpose.models.variants import ModelSpec


class Published(NamedTuple):
    """A row of the paper's table: millions of parameters, thousand millions of multiply-adds."""

    label: str
    params: str
    gflops: str


PUBLISHED = {
    "sdpose_t": Published("SDPose-T", "4.4", "1.8"),
    "sdpose_s_v1": Published("SDPose-S-V1", "6.6", "2.4"),
    "sdpose_s_v2": Published("SDPose-S-V2", "6.2", "4.7"),
    "sdpose_b": Published("SDPose-B", "13.2", "5.2"),
}
COUNTING = """\
Multiply-adds in G for one image; FLOPs are twice as many. "paper": mmcv's counter, whose numbers the paper prints as
GFLOPs; it leaves out the two attention products and counts norms, ReLU and upsampling. "+ attn": every convolution,
linear layer and attention product. Evaluation runs one cycle, training all."""
GUIDE = "The monitoring guide's 'Params ~9M, GFLOPs ~4.5' for S-V1 do not match: measured are 6.62 M trainable, 2.40 G."


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "info", help="parameters and multiply-adds of a model", description=__doc__
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="NAME|CONFIG",
        help=f"{', '.join(PUBLISHED)}, or a config file; without it, one line for each published model",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; a name or file that does not exist raises SdposeError."""
    from rich.console import Console

    console = Console(highlight=False)
    if args.model is None:
        console.print(published_table())
    else:
        name, spec = find_spec(args.model)
        console.print(part_table(name, spec))
        if name in PUBLISHED:
            label, params, gflops = PUBLISHED[name]
            console.print(f"Published for {label}: {params} M parameters, {gflops} GFLOPs.")
    console.print(COUNTING, soft_wrap=True)
    console.print(GUIDE, soft_wrap=True)
    return 0


def find_spec(model: str) -> tuple[str, ModelSpec]:
    """A published name, or a config file; a config that describes a published model gets that model's name."""
    from sdpose.models.variants import VARIANTS

    if model in VARIANTS:
        return model, VARIANTS[model]
    path = Path(model)
    if not path.is_file():
        raise SdposeError(
            f"'{model}' is neither a model nor a file; models are {', '.join(VARIANTS)}.{nearest(model, VARIANTS)}"
        )
    from sdpose.assemble.model import model_spec_from_settings
    from sdpose.config.settings import load_settings

    spec = model_spec_from_settings(load_settings(path))
    return next((name for name, published in VARIANTS.items() if published == spec), path.stem), spec


def part_table(name: str, spec: ModelSpec) -> Table:
    """One row a part, the total below."""
    rows, image_size_hw = count_spec(spec)
    cycles = f"all ({spec.head.cycle_num})"
    table = empty_table(
        f"{name}, image {image_size_hw[0]} x {image_size_hw[1]} (rows x columns)",
        (
            "part",
            "params",
            "trainable",
            "1 cycle\npaper",
            "1 cycle\n+ attn",
            f"{cycles}\npaper",
            f"{cycles}\n+ attn",
        ),
    )
    for row in rows:
        table.add_row(*cells(row), style="bold" if row.part == "total" else None, end_section=row is rows[-2])
    return table


def published_table() -> Table:
    """One row a published model: counted here, and as printed in the paper."""
    from sdpose.models.variants import VARIANTS

    table = empty_table(
        "published models, image 256 x 192 (rows x columns)",
        (
            "model",
            "trainable",
            "paper\nM",
            "1 cycle\npaper",
            "paper\nG",
            "1 cycle\n+ attn",
            "all\npaper",
            "all\n+ attn",
        ),
    )
    for name, spec in VARIANTS.items():
        rows, _ = count_spec(spec)
        _, _, trainable, one, one_attention, every, every_attention = cells(rows[-1])
        _, params, gflops = PUBLISHED[name]
        table.add_row(name, trainable, params, one, gflops, one_attention, every, every_attention)
    return table


def empty_table(title: str, headings: tuple[str, ...]) -> Table:
    """A table that fits into 80 columns: text on the left, numbers on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title,
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    return table


def count_spec(spec: ModelSpec) -> tuple[list[PartCost], tuple[int, int]]:
    """The count of a model and the image size (rows, columns) it was made for, four times its features."""
    from sdpose.models import build
    from sdpose.models.complexity import count

    rows, columns = spec.head.feature_size_hw
    image_size_hw = (4 * rows, 4 * columns)
    return count(build(spec), image_size_hw), image_size_hw


def cells(row: PartCost) -> tuple[str, ...]:
    """A row as text; multiply-adds in thousand millions."""
    macs = (*row.one_cycle, *row.all_cycles)
    return (row.part, f"{row.params:,}", f"{row.trainable:,}", *(f"{value / 1e9:.3f}" for value in macs))
