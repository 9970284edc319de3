"""The file of a set: named variations of a config, a grid of values, or both. Read, never run.

    variations = dict(
        usual=dict(),
        timid={'optimizer.lr': 5e-4},
        small=dict(data=dict(samples_per_gpu=8)),
    )
    grid = {'lr_config.warmup_iters': [100, 500], 'seed': [1, 2, 3]}

Each variation is trained with each combination of the grid.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpose.config.overrides import option_text, parse_overrides
from sdpose.config.places import Place, SourceDict, plain, shown_path
from sdpose.config.reader import read_config
from sdpose.errors import SdposeError, nearest

KEYS = ("variations", "grid")
MAX_VARIATIONS = 1000
_NAME = re.compile(r"[A-Za-z0-9_][\w.+=-]{0,119}")
_RESERVED = re.compile(r"previous_|left_|incidents$|evaluations$")
_EXAMPLE = "variations = dict(usual=dict(), timid={'optimizer.lr': 5e-4})"
# Settings that the queue itself chooses.
_OWN = {
    "work_dir": "each variation has its own folder below the set's; choose that with --work-dir",
    "resume_from": "the queue resumes what was interrupted by itself",
}


@dataclass(frozen=True)
class Variation:
    """One training of a set."""

    name: str
    """Also of its folder."""
    config: Path
    changes: SourceDict
    """Dotted key -> value, each with the line where it was written."""
    place: Place

    @property
    def options(self) -> tuple[str, ...]:
        """The changes as `--cfg-options` takes them."""
        return tuple(f"{key}={option_text(value)}" for key, value in self.changes.items())


def read_set(path: Path, config: Path) -> tuple[Variation, ...]:
    """The variations of `config` in the order of the file. Raises SdposeError with all mistakes, one line each.

    A variation may name another `config`, relative to the file of the set.
    """
    raw = read_config(path)
    values, mistakes = raw.values, []
    for key in values:
        if key not in KEYS and key not in raw.used:
            where, hint = values.place_of(key), nearest(str(key), KEYS)
            mistakes.append(f"{where}: {key}: unknown key.{hint} A set has {' and '.join(KEYS)}.")
    if not mistakes and not any(key in values for key in KEYS):
        shown = shown_path(path)
        mistakes.append(f"{shown}: names no variations; write {_EXAMPLE}, or grid = {{'seed': [1, 2]}}.")
    if mistakes:
        raise SdposeError("\n".join(mistakes))
    named = list(_named(values, mistakes))
    grid = list(_grid(values, mistakes))
    if not mistakes and len(named) * len(grid) > MAX_VARIATIONS:
        mistakes.append(
            f"{shown_path(path)}: {len(named) * len(grid)} variations, at most {MAX_VARIATIONS} can be queued."
        )
    if mistakes:
        raise SdposeError("\n".join(dict.fromkeys(mistakes)))
    found: dict[str, Variation] = {}
    for (name, changes, place), (suffix, point) in itertools.product(named, grid):
        variation = _variation("-".join(filter(None, (name, suffix))), changes, point, place, path, config)
        _check(variation, changes, point, mistakes)
        earlier = found.setdefault(variation.name, variation)
        if earlier is not variation:
            mistakes.append(
                f"{place}: two variations would be called {variation.name}; name them in `variations`."
            )
    if mistakes:
        raise SdposeError("\n".join(dict.fromkeys(mistakes)))
    return tuple(found.values())


_Point = tuple[str, SourceDict]


def _named(values: SourceDict, mistakes: list[str]) -> Iterator[tuple[str, SourceDict, Place]]:
    """Name, changes and place of each; one without a name where there is only a grid."""
    place = values.place_of("variations")
    if "variations" not in values:
        yield "", SourceDict(values.place_of("grid")), values.place_of("grid")
        return
    variations = values["variations"]
    if not isinstance(variations, SourceDict) or not variations:
        mistakes.append(f"{place}: variations: got {_shown(variations)}, expected a dict as in {_EXAMPLE}.")
        return
    for name, changes in variations.items():
        where = variations.place_of(name)
        if not isinstance(changes, SourceDict):
            mistakes.append(
                f"{where}: variations.{name}: got {_shown(changes)}, expected a dict of what it changes, as in "
                "{'optimizer.lr': 5e-4}, or dict() for the config as it is."
            )
            continue
        yield str(name), _dotted(changes, mistakes), where


def _grid(values: SourceDict, mistakes: list[str]) -> Iterator[_Point]:
    """Every combination with the part of a name that says which; one empty one without a grid."""
    if "grid" not in values:
        yield "", SourceDict(values.place)
        return
    grid, place = values["grid"], values.place_of("grid")
    if not isinstance(grid, SourceDict) or not grid:
        mistakes.append(f"{place}: grid: got {_shown(grid)}, expected a dict as in {{'seed': [1, 2, 3]}}.")
        return
    axes = _dotted(grid, mistakes)
    for key, choices in axes.items():
        if not isinstance(choices, list | tuple) or not choices:
            mistakes.append(
                f"{axes.place_of(key)}: grid: {key}: got {_shown(choices)}, expected a list of values."
            )
            return
    last = [str(key).rpartition(".")[2] for key in axes]
    words = [short if last.count(short) == 1 else key for key, short in zip(axes, last, strict=True)]
    for combination in itertools.product(*axes.values()):
        point = SourceDict(place)
        for key, value in zip(axes, combination, strict=True):
            point.put(key, value, axes.place_of(key))
        yield (
            "-".join(
                _word(value) if key == "config" else f"{word}={_word(value)}"
                for key, word, value in zip(axes, words, combination, strict=True)
            ),
            point,
        )


def _dotted(changes: SourceDict, mistakes: list[str], prefix: str = "") -> SourceDict:
    """Nested dicts as dotted keys: a variation changes what it names and leaves the rest, as a child config does."""
    dotted = SourceDict(changes.place)
    for key, value in changes.items():
        where, name = changes.place_of(key), f"{prefix}{key}"
        if isinstance(value, SourceDict) and value:
            inner = _dotted(value, mistakes, f"{name}.")
            dotted.update(inner)
            dotted.places.update(inner.places)
        elif not all(name.split(".")):
            mistakes.append(f"{where}: '{name}' is no setting; write it as in {{'optimizer.lr': 5e-4}}.")
        else:
            dotted.put(name, value, where)
    return dotted


def _variation(
    name: str, changes: SourceDict, point: SourceDict, place: Place, path: Path, config: Path
) -> Variation:
    joined = changes.shallow_copy()
    for key, value in point.items():
        joined.put(key, value, point.place_of(key))
    own = joined.pop("config", None)
    return Variation(name, path.parent / str(own) if own is not None else config, joined, place)


def _check(variation: Variation, changes: SourceDict, point: SourceDict, mistakes: list[str]) -> None:
    if not _NAME.fullmatch(variation.name) or _RESERVED.match(variation.name):
        mistakes.append(
            f"{variation.place}: '{variation.name:.150}' cannot be the name of a folder; take up to 120 letters, "
            "digits and . _ - + =, under a name of its own in `variations`."
        )
    mistakes += [
        f"{changes.place_of(key)}: {key} is in `variations` and in `grid`; leave one."
        for key in changes
        if key in point
    ]
    for key, value in variation.changes.items():
        where = variation.changes.place_of(key)
        if (head := str(key).split(".")[0]) in _OWN:
            mistakes.append(f"{where}: {key} cannot be varied: {_OWN[head]}.")
        elif _said_on_a_command_line(key, value) != {key: plain(value)}:
            mistakes.append(
                f"{where}: {key}: {_shown(value)} cannot be said with --cfg-options; write a config with it and name "
                "that, as in dict(config='other.py')."
            )


def _said_on_a_command_line(key: str, value: object) -> dict[str, object] | None:
    try:
        return parse_overrides([f"{key}={option_text(value)}"])
    except SdposeError:
        return None


def _word(value: Any) -> str:
    """A value within the name of a folder."""
    if isinstance(value, list | tuple):
        return "_".join(map(_word, value))
    if isinstance(value, str):
        return re.sub(r"[^\w.+-]", "_", Path(value).stem if value.endswith(".py") else value)
    return str(value)


def _shown(value: Any) -> str:
    return f"{plain(value)!r:.80}"
