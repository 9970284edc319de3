"""Reading back the arrays that an evaluation left, with one clear error for whatever is wrong with the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.errors import SdposeError


@contextmanager
def stored_arrays(path: Path, *, version: int) -> Iterator[Any]:
    """The arrays of an .npz by name, whose `format` must be `version`.

    Raises SdposeError, also for what goes wrong inside the block.
    """
    try:
        # Opened here: numpy would leave a file open that it cannot read.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            if int(stored["format"]) != version:
                raise SdposeError(f"{path} was written by another version of sdpose; evaluate again")
            yield stored
    except OSError as error:
        raise SdposeError(f"cannot read {path}: {error.strerror or error}; evaluate again") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SdposeError(f"{path} is no stored evaluation, or damaged ({error}); evaluate again") from error
