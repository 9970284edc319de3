"""An export from checkpoint to file: write, measure, and put in place only what finds the same joints."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.export.int8 import RECIPES, quantised
from sdpose.export.latency import medians_ms
from sdpose.export.onnx_file import need_onnx, onnx_bytes
from sdpose.export.openvino_file import INSTALLED, OpenVinoNetwork, need_openvino, write_openvino
from sdpose.export.parity import Finder, measure_parity
from sdpose.export.people import People, crops_of_folder, crops_of_people, drawn_people, people_of_config
from sdpose.export.table import Row, table_lines
from sdpose.predict.model_facts import ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import find_joints, torch_network
from sdpose.trained_model import TrainedModel, load_trained_model
from sdpose.training.atomic_file import StorageError, write_atomically

FLOAT_LIMIT, INT8_LIMIT = 0.002, 0.01
"""How much AP a file may lose against torch."""

Format = Literal["onnx", "openvino"]


class ExportConsole(Protocol):
    """Where a person sees how far it is."""

    def line(self, text: str) -> None: ...

    def advance(self, done: int, total: int | None, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What the command line says."""

    weights: Path
    config: Path | None = None
    format: Format = "onnx"
    out: Path
    crops_in: bool = False
    joints_out: bool = False
    flip_inside: bool = False
    int8: bool = False
    data: Settings | None = None
    """Measure on its validation split, find int8 ranges on its training split; None draws people."""
    calibration_folder: Path | None = None
    calibration_boxes: Path | None = None
    num_images: int | None = None
    num_calibration: int = 128
    parity: bool = True


@dataclass
class Exported:
    """How it went."""

    files: list[Path] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def export(options: ExportOptions, console: ExportConsole) -> Exported:
    """Faults name what lost too much AP; its file is then not written, and one that was there stays.

    Raises SdposeError for what cannot be exported, measured or written.
    """
    _check(options)
    trained = load_trained_model(options.weights, config=options.config)
    facts = ModelFacts.of(
        trained,
        takes="crops" if options.crops_in else "normalised",
        gives="joints" if options.joints_out else "heatmaps",
        flip_inside=options.flip_inside,
    )
    with tempfile.TemporaryDirectory() as drawn:
        work = _Work(options, console, trained, facts, Path(drawn))
        return work.run()


def _check(options: ExportOptions) -> None:
    need_onnx()
    if options.format == "openvino":
        need_openvino()
        if options.int8:
            raise SdposeError("--int8 is made with ONNX Runtime; export it with --format onnx")
    if options.flip_inside and not options.joints_out:
        raise SdposeError("--with-flip-test averages before the decoding; add --with-decode")
    if options.int8 and not options.parity:
        raise SdposeError("--int8 is only written when it is proved right; leave --no-parity away")
    if (options.calibration_folder is None) != (options.calibration_boxes is None):
        raise SdposeError("--calibration-images and --calibration-boxes belong together; give both")
    suffix = ".onnx" if options.format == "onnx" else ".xml"
    if options.out.suffix != suffix:
        raise SdposeError(
            f"--out {options.out} is no name for {options.format}; expected it to end in {suffix}"
        )
    folder = options.out.parent
    if not folder.is_dir():
        raise SdposeError(f"--out {options.out}: there is no folder {folder}; make it first")
    if options.out.is_dir() or not os.access(folder, os.W_OK):
        raise SdposeError(f"cannot write {options.out}; choose another --out")


class _Work:
    def __init__(
        self,
        options: ExportOptions,
        console: ExportConsole,
        trained: TrainedModel,
        facts: ModelFacts,
        folder: Path,
    ) -> None:
        self.options, self.console, self.trained, self.facts, self.folder = (
            options,
            console,
            trained,
            facts,
            folder,
        )
        self.num_threads = torch.get_num_threads()
        self.outcome = Exported()

    def run(self) -> Exported:
        console, outcome = self.console, self.outcome
        console.line(f"{self.trained.name}: {self.trained.source}")
        people = self._people() if self.options.parity else None
        content = onnx_bytes(self.trained, self.facts)
        engines: dict[str, Engine] = {"ONNX Runtime": self._onnx(content)}
        if INSTALLED:
            engines["OpenVINO"] = OpenVinoNetwork(content, self.facts, num_threads=self.num_threads)
        int8: bytes | None = None
        if people is None:
            console.line("NOT MEASURED: --no-parity; nothing says that this file finds the same joints")
        else:
            console.line(f"measuring on {people.description}")
            rows = self._measure(engines, people, FLOAT_LIMIT)
            outcome.rows += rows
            outcome.faults += [row.fault for row in rows if row.fault]
            if self.options.int8:
                int8 = self._int8(content, people)
                if int8 is not None:
                    engines["int8"] = self._onnx(int8)
        latency_ms = self._latency_ms(engines)
        for line in table_lines(outcome.rows, latency_ms) if people else _latency_lines(latency_ms):
            console.line(line)
        if not any(row.fault for row in outcome.rows if row.limit == FLOAT_LIMIT):
            self._write_float(content)
        if int8 is not None:
            out = self.options.out
            self._write(out.with_name(f"{out.stem}_int8{out.suffix}"), int8)
        return outcome

    def _int8(self, content: bytes, people: People) -> bytes | None:
        """The first recipe that loses little enough, or None with the reasons among the faults."""
        crops = self._calibration_crops()
        self.console.line(f"int8 ranges from {len(crops)} crops")
        refused: list[str] = []
        for recipe in RECIPES:
            int8 = quantised(
                content, self.trained, self.facts, crops, recipe, ranges=self.folder / "ranges.json"
            )
            rows = [
                row
                for row in self._measure({"int8": self._onnx(int8)}, people, INT8_LIMIT)
                if row.engine != "torch"
            ]
            lost = max(row.parity.loss for row in rows)
            faults = [row.fault for row in rows if row.fault]
            self.console.line(
                f"int8, {recipe.name}: loses at most {lost:+.4f} AP, {'refused' if faults else 'taken'}"
            )
            if not faults:
                self.outcome.rows += rows
                return int8
            refused.append(f"{recipe.name} {lost:+.4f}")
        self.outcome.faults.append(
            f"int8 loses more than {INT8_LIMIT:g} of AP whatever is left in float ({', '.join(refused)}); try more "
            "--calibration-crops, or use the float file"
        )
        return None

    def _calibration_crops(self) -> Tensor:
        options = self.options
        if options.calibration_folder is not None and options.calibration_boxes is not None:
            return crops_of_folder(
                options.calibration_folder, options.calibration_boxes, self.trained, options.num_calibration
            )
        return crops_of_people(self._people("train"), options.num_calibration)

    def _people(self, part: Literal["val", "train"] = "val") -> People:
        options = self.options
        if options.data is not None:
            return people_of_config(
                options.data,
                self.trained,
                split=part,
                num_images=options.num_images if part == "val" else options.num_calibration,
            )
        return drawn_people(
            self.folder / "drawn", self.trained, num_images=options.num_images or 200, part=part
        )

    def _onnx(self, content: bytes) -> OnnxNetwork:
        return OnnxNetwork(content, name=str(self.options.out), num_threads=self.num_threads)

    def _measure(self, engines: Mapping[str, Engine], people: People, limit: float) -> list[Row]:
        """Rows of torch and of the engines, without and with flip test."""
        rows: list[Row] = []
        reference = torch_network(self.trained, torch.device("cpu"))
        inside = self.facts.gives == "joints"
        for flip_test in (self.facts.flip_inside,) if inside else (False, True):
            find = partial(find_joints, trained=self.trained, flip_test=flip_test)
            finders: dict[str, Finder] = {
                name: engine.joints if inside else partial(find, engine) for name, engine in engines.items()
            }
            found = measure_parity(
                partial(find, reference), finders, people, self.trained, progress=self._progress(flip_test)
            )
            torch_row = Row("torch", flip_test, found.pop(""), None)
            if not torch_row.parity.can_be_judged:
                raise SdposeError(
                    f"torch itself has AP {torch_row.parity.ap:.3f} on {people.description}, so a loss would not "
                    "show; name data that these weights know: --data CONFIG"
                )
            rows.append(torch_row)
            rows += [Row(name, flip_test, parity, limit) for name, parity in found.items()]
        return rows

    def _progress(self, flip_test: bool) -> Callable[[int, int], None]:
        name = "with flip test" if flip_test else "without flip test"
        return lambda done, total: self.console.advance(done, total, name)

    def _latency_ms(self, engines: Mapping[str, Engine]) -> dict[str, float]:
        """One person, from the uint8 crop to what the file gives."""
        width, height = self.trained.image_size_wh
        generator = torch.Generator().manual_seed(0)
        crop = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=generator)
        reference = torch_network(self.trained, torch.device("cpu"))
        if self.facts.gives == "joints":
            find = partial(
                find_joints, reference, crop, trained=self.trained, flip_test=self.facts.flip_inside
            )
            runs: dict[str, Callable[[], object]] = {
                name: partial(engine.joints, crop) for name, engine in engines.items()
            }
            return medians_ms({"torch": find, **runs})
        runs = {name: partial(engine, crop) for name, engine in engines.items()}
        return medians_ms({"torch": partial(reference, crop), **runs})

    def _write_float(self, content: bytes) -> None:
        out = self.options.out
        if self.options.format == "onnx":
            self._write(out, content)
            return
        xml, weights = self.folder / out.name, self.folder / out.with_suffix(".bin").name
        write_openvino(content, self.facts, xml)
        # The weights first: an .xml with the weights of another would be read without a word.
        self._write(out.with_suffix(".bin"), weights.read_bytes())
        self._write(out, xml.read_bytes())

    def _write(self, path: Path, content: bytes) -> None:
        try:
            write_atomically(path, lambda file: file.write(content))
        except StorageError as error:
            raise error.naming("--out") from error
        self.outcome.files.append(path)


def _latency_lines(latency_ms: Mapping[str, float]) -> Iterator[str]:
    for name, elapsed_ms in latency_ms.items():
        yield f"{name}: {elapsed_ms:.1f} ms a person, {latency_ms['torch'] / elapsed_ms:.2f}x as fast as torch"


class Engine(Protocol):
    """A file in an engine."""

    def __call__(self, crops: Tensor) -> Tensor: ...

    def joints(self, crops: Tensor) -> tuple[Tensor, Tensor]: ...
