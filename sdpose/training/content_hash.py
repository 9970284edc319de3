"""One hash over what a checkpoint says, whatever the file format does around it.

Tensors count by dtype, shape and values (not by memory layout), containers by their order, numbers by their
exact value. Two trees with the same hash restore the same run.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor


def content_hash(tree: Any) -> str:
    """SHA-256 in hexadecimal of nested dicts, lists, tuples, tensors and plain values.

    Raises TypeError, naming the place, for anything else: it could not be loaded back safely.
    """
    digest = hashlib.sha256()
    _add(digest, tree, "")
    return digest.hexdigest()


def _add(digest: Any, value: Any, place: str) -> None:
    # bool before int: True is an int in Python.
    if value is None or isinstance(value, bool):
        digest.update(b"c" + str(value).encode())
    elif type(value) is int:
        _add_bytes(digest, b"i", str(value).encode())
    elif type(value) is float:
        digest.update(b"f" + struct.pack("<d", value))
    elif type(value) is str:
        _add_bytes(digest, b"s", value.encode("utf-8", "surrogatepass"))
    elif type(value) is bytes:
        _add_bytes(digest, b"b", value)
    elif isinstance(value, Tensor):
        _add_tensor(digest, value)
    elif type(value) in (dict, OrderedDict):
        digest.update(b"d" + struct.pack("<Q", len(value)))
        for key, entry in value.items():
            _add(digest, key, f"{place}.{key} (key)")
            _add(digest, entry, f"{place}.{key}")
    elif type(value) in (list, tuple):
        digest.update((b"l" if type(value) is list else b"t") + struct.pack("<Q", len(value)))
        for number, entry in enumerate(value):
            _add(digest, entry, f"{place}.{number}")
    else:
        raise TypeError(
            f"{place.lstrip('.') or 'the value'} is a {type(value).__module__}.{type(value).__qualname__}; "
            "a checkpoint holds tensors, dict, list, tuple, str, bytes, int, float, bool and None"
        )


def _add_bytes(digest: Any, kind: bytes, data: bytes) -> None:
    digest.update(kind + struct.pack("<Q", len(data)))
    digest.update(data)


def _add_tensor(digest: Any, tensor: Tensor) -> None:
    header = f"{tensor.dtype}{tuple(tensor.shape)}"
    _add_bytes(digest, b"T", header.encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel():
        digest.update(flat.view(torch.uint8).numpy().data)
