"""A run on disk: what mmcv's checkpoints hold, plus what it takes to go on to the last bit.

The file is a dict with `meta`, `state_dict` and `optimizer` as mmcv 1.x writes them, so the original code
loads it, and one key more, `sdpose`: the exact place in the run, and a hash of everything. mmcv ignores
that key.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdpose import __version__
from sdpose.errors import SdposeError
from sdpose.training.atomic_file import write_atomically
from sdpose.training.content_hash import content_hash
from sdpose.training.distributed import unwrap
from sdpose.training.official_progress import corrected_progress
from sdpose.training.safe_load import DamagedFileError, check_zip_sums, load_file

_FORMAT = 1
# The versions whose file format this is. Tools of the original look for these two keys.
_MMPOSE_VERSION = "0.29.0"
_MMCV_VERSION = "1.3.8"


@dataclass
class Checkpoint:
    """What one .pth file says."""

    meta: dict[str, Any]
    """From `make_meta`: epoch and iter (both finished), seed, env_info, hook_msgs, config ... Empty for
    bare weights."""
    state_dict: Mapping[str, Tensor]
    optimizer: dict[str, Any] | None = None
    resume: dict[str, Any] | None = None
    """Ours: batch within the epoch, random states, undrained losses, monitor state ... Plain values and
    tensors."""
    saved_at: float = 0.0
    """Unix seconds; rises within a run even if the clock is set back. 0 in a file that is not ours."""
    path: Path | None = None
    origin: Literal["sdpose", "mmcv", "weights"] = "sdpose"
    """"weights" is a bare state_dict, good for --load-from only."""
    notes: tuple[str, ...] = field(default=())
    """What the user should hear about this file."""

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return int(self.meta["epoch"])

    @property
    def iteration(self) -> int:
        """Finished iterations since the very start of the run."""
        return int(self.meta["iter"])

    @property
    def hook_msgs(self) -> dict[str, Any]:
        """mmcv's bookkeeping of the best checkpoint: last_ckpt, best_score, best_ckpt; each may be
        missing."""
        return dict(self.meta.get("hook_msgs") or {})

    def require_resumable(self) -> None:
        """Raise SdposeError when only weights are here."""
        if self.origin == "weights" or self.optimizer is None:
            missing = "meta" if self.origin == "weights" else "optimizer"
            raise SdposeError(
                f"{self.path} has no '{missing}', so a run cannot go on from it; give it to --load-from "
                f"to start a new "
                "run from its weights"
            )


def make_meta(
    *,
    epoch: int,
    iteration: int,
    seed: int | None,
    env_info: str,
    config_text: str,
    hook_msgs: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `meta` entry with mmcv's keys in mmcv's order. `extra` holds the user's own keys."""
    return {
        "mmpose_version": _MMPOSE_VERSION,
        "config": config_text,
        "epoch": epoch,
        "iter": iteration,
        "env_info": env_info,
        "seed": seed,
        "hook_msgs": dict(hook_msgs or {}),
        "mmcv_version": _MMCV_VERSION,
        "time": time.asctime(),
        **(extra or {}),
    }


def model_state(model: nn.Module) -> OrderedDict[str, Tensor]:
    """A copy of the state_dict on the CPU, in the model's order, without prefixes of DDP and
    torch.compile."""
    state = unwrap(model).state_dict()
    on_cpu = OrderedDict((name, tensor.detach().to("cpu", copy=True)) for name, tensor in state.items())
    # Versions of the modules' own formats; load_state_dict reads them from this attribute.
    on_cpu._metadata = getattr(state, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    return on_cpu


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`: complete and on the disk when this returns, or not at all.

    Raises StorageError when the disk refuses, TypeError when something in it could not be loaded back safely.
    """
    content = _content(checkpoint)
    content["sdpose"]["sha256"] = content_hash(content)
    write_atomically(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read and verify a checkpoint of sdpose or mmcv, or a bare state_dict. Tensors are on the CPU.

    Raises SdposeError for a missing or foreign file and for one that wants to run code; DamagedFileError, a
    kind of it, when bytes are missing or differ from what was written.
    """
    path = Path(path)
    content = load_file(path)
    if isinstance(content, dict) and isinstance(content.get("sdpose"), dict):
        _verify(path, content)
    else:
        check_zip_sums(path)
    return _interpret(path, content)


def load_header(path: Path) -> Checkpoint:
    """Like `load_checkpoint`, but reads only the bookkeeping: fast, and nothing is verified."""
    return _interpret(path, load_file(path, lazily=True))


def _content(checkpoint: Checkpoint) -> dict[str, Any]:
    content: dict[str, Any] = {"meta": checkpoint.meta, "state_dict": checkpoint.state_dict}
    if checkpoint.optimizer is not None:
        content["optimizer"] = checkpoint.optimizer
    content["sdpose"] = {
        "format": _FORMAT,
        "version": __version__,
        "saved_at": checkpoint.saved_at,
        "resume": checkpoint.resume,
    }
    return content


def _verify(path: Path, content: dict[str, Any]) -> None:
    ours = content["sdpose"]
    if isinstance(ours.get("format"), int) and ours["format"] > _FORMAT:
        raise SdposeError(
            f"{path} was written by sdpose {ours.get('version')} in format {ours['format']}; this is "
            f"{__version__}, "
            f"which reads format {_FORMAT}: upgrade sdpose"
        )
    expected = ours.pop("sha256", None)
    if content_hash(content) != expected:
        raise DamagedFileError(
            f"{path} is damaged (its content does not match the hash written with it); copy it again from "
            f"its source, "
            "or use another checkpoint"
        )


def _interpret(path: Path, content: Any) -> Checkpoint:
    if not isinstance(content, dict) or not content:
        raise SdposeError(
            f"{path} holds a {type(content).__name__}, not a checkpoint; expected a dict with 'state_dict'"
        )
    if "state_dict" not in content:
        if not _is_state_dict(content):
            found = ", ".join(str(key) for key in list(content)[:8])
            raise SdposeError(
                f"{path} has the keys {found}; expected 'state_dict', or a bare state_dict of tensors"
            )
        return Checkpoint({}, content, path=path, origin="weights")
    weights, meta = content["state_dict"], content.get("meta")
    if not _is_state_dict(weights):
        raise SdposeError(
            f"'state_dict' in {path} is not a dict of tensors; this file cannot be used as a checkpoint"
        )
    if (
        not isinstance(meta, dict)
        or not isinstance(meta.get("epoch"), int)
        or not isinstance(meta.get("iter"), int)
    ):
        return Checkpoint(dict(meta) if isinstance(meta, dict) else {}, weights, path=path, origin="weights")
    optimizer, ours = content.get("optimizer"), content.get("sdpose")
    if isinstance(ours, dict):
        return Checkpoint(meta, weights, optimizer, ours["resume"], ours["saved_at"], path)
    meta, notes = corrected_progress(path, meta, optimizer)
    return Checkpoint(meta, weights, optimizer, None, _official_time(path, meta), path, "mmcv", notes)


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) and isinstance(entry, Tensor) for key, entry in value.items())
    )


def _official_time(path: Path, meta: Mapping[str, Any]) -> float:
    try:
        return time.mktime(time.strptime(str(meta.get("time"))))
    except (ValueError, OverflowError):
        return path.stat().st_mtime
