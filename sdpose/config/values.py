"""Kinds of values that several settings take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from sdpose.config.data_root import tidy_path
from sdpose.config.section import problem


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pair(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise problem(f"got {value!r}, expected two numbers, as in [64, 48].")
    return _as_tuple(value)


def _nothing(value: Any) -> None:
    if value:
        raise problem(f"cannot be obeyed: nothing reads {', '.join(map(str, value))} from here; remove it.")


def _local_path(path: str) -> str:
    if "://" in path:
        raise problem(f"got {path!r}; only files on a mounted disk can be read.")
    return tidy_path(path)


Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
PositivePair = Annotated[tuple[Positive, Positive], BeforeValidator(_pair)]
Integers = Annotated[tuple[int, ...], BeforeValidator(_as_tuple)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
FinitePair = Annotated[tuple[Finite, Finite], BeforeValidator(_as_tuple)]
Channels = Annotated[tuple[Finite, Finite, Finite], BeforeValidator(_as_tuple)]
PositiveChannels = Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], BeforeValidator(_as_tuple)]
LocalPath = Annotated[str, AfterValidator(_local_path)]
Nothing = Annotated[None, BeforeValidator(_nothing)]
AsTuple = BeforeValidator(_as_tuple)
