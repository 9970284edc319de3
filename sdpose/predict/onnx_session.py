"""An ONNX file opened by ONNX Runtime, with errors in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sdpose.errors import SdposeError, first_line


class OnnxSession:
    """One input in, all outputs out."""

    def __init__(
        self,
        file: Path | str | bytes,
        *,
        name: str | None = None,
        num_threads: int | None = None,
        on_gpu: bool = False,
    ) -> None:
        """`file` is a path or the content of a file. Raises SdposeError for what is no ONNX model."""
        self.path = name or ("model.onnx" if isinstance(file, bytes) else str(file))
        self._session = _opened(file, self.path, num_threads, on_gpu=on_gpu)
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, values: np.ndarray) -> list[np.ndarray]:
        """All outputs as they come, for the first input."""
        try:
            return list(self._session.run(None, {self.inputs[0].name: values}))
        except Exception as error:  # onnxruntime's errors share no public base
            raise SdposeError(f"{self.path} does not run: {first_line(error)[:200]}") from error


def _opened(file: Path | str | bytes, path: str, num_threads: int | None, *, on_gpu: bool) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SdposeError("an ONNX file needs onnxruntime: pip install 'sdpose[onnx]'") from error
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise SdposeError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    # Its threads wait actively within a run, not between runs, when others (OpenCV, torch) need the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = ["CPUExecutionProvider"]
    if on_gpu and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    try:
        return onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file), options, providers=providers
        )
    except Exception as error:  # onnxruntime's errors share no public base
        raise SdposeError(
            f"{path} is no ONNX model that onnxruntime can load: {first_line(error)[:200]}"
        ) from error
