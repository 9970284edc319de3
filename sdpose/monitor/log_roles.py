"""The curves of a log that a verdict rests on: its training loss, its validation loss, its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpose.monitor.readers import Series
from sdpose.monitor.robust import Floats
from sdpose.monitor.roles import Split, main_loss, role_of, score_rank, words_of

_ADVERSARIES = frozenset(
    ["gen", "disc", "generator", "discriminator", "d", "g", "critic", "actor", "adv", "gan"]
)
# An epoch's mean is the calmer curve; it is used once it has this many points.
ENOUGH_EPOCHS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRoles:
    """Which series is what; None where the log has none."""

    losses: tuple[Series, ...]
    """All of them, of both splits: where a value that is not finite is looked for."""
    train_loss: Series | None
    val_loss: Series | None
    pairs: tuple[tuple[Series, Series], ...]
    """Training and validation loss under one name: the total first, then the largest term."""
    score: Series | None
    """The one that people compare runs by; higher is better."""
    grad_norm: Series | None
    lr: Series | None
    adversarial: bool
    """Two losses that pull against each other (a GAN's): neither is meant to fall."""

    @property
    def warmup_end(self) -> int:
        """The row at which the learning rate stops rising from its start; 0 without warm-up, or nothing known of it."""
        if self.lr is None or len(self.lr.values) < 3:
            return 0
        values = self.lr.values
        top = float(values.max())
        if not values[0] < 0.5 * top or not values[1] > values[0]:
            return 0
        return int(self.lr.rows[int(np.argmax(values >= 0.99 * top))])


def assign_roles(series: Sequence[Series]) -> LogRoles:
    """Find the roles of all series of a log, or of one of the runs in it."""
    roles = {id(entry): role_of(entry.name, entry.mode) for entry in series}
    by_split: dict[Split, list[Series]] = {"train": [], "val": []}
    scores: dict[Split, list[Series]] = {"train": [], "val": []}
    errors: dict[Split, list[Series]] = {"train": [], "val": []}
    for entry in series:
        role = roles[id(entry)]
        kinds = {"loss": by_split, "score": scores, "error": errors}
        if role.meaning in kinds:
            kinds[role.meaning][role.split].append(entry)
    if not by_split["train"] and not by_split["val"]:
        by_split = errors
    train_loss, val_loss = _main(by_split["train"], "train"), _main(by_split["val"], "val")
    pairs = [(train_loss, val_loss)] if train_loss and val_loss else []
    dominant = _dominant_pair(by_split)
    if dominant is not None:
        pairs.append(dominant)
    candidates = scores["val"] or scores["train"]
    grad_norms = [entry for entry in series if set(words_of(entry.name)) >= {"grad", "norm"}]
    return LogRoles(
        losses=(*by_split["train"], *by_split["val"]),
        train_loss=train_loss,
        val_loss=val_loss,
        pairs=tuple(pairs),
        score=min(candidates, key=lambda entry: (score_rank(entry.name), len(entry.name)), default=None),
        grad_norm=grad_norms[0] if grad_norms else None,
        lr=next((entry for entry in series if _is_lr(entry)), None),
        adversarial=any(_ADVERSARIES & set(words_of(entry.name)) for entry in by_split["train"]),
    )


def _is_lr(series: Series) -> bool:
    words = words_of(series.name)
    return words[:1] == ["lr"] or words[:2] == ["learning", "rate"] or words[-1:] == ["lr"]


def _main(losses: Sequence[Series], split: Split) -> Series | None:
    if not losses:
        return None
    longest = max(len(entry.values) for entry in losses)
    # A summary written once at the end (`train_loss` of the Hugging Face trainer) is no curve.
    curves = [entry for entry in losses if len(entry.values) > max(1, 0.01 * longest)] or list(losses)
    by_epoch = [entry for entry in curves if "step" not in words_of(entry.name)]
    if by_epoch and max(len(entry.values) for entry in by_epoch) >= min(ENOUGH_EPOCHS, longest):
        curves = by_epoch
    name = main_loss([entry.name for entry in curves], split)
    if name is not None:
        return next(entry for entry in curves if entry.name == name)
    return _sum(curves)


def _sum(terms: Sequence[Series]) -> Series:
    """The sum of terms that are written in the same rows; the most frequent rows decide."""
    rows = max((entry.rows for entry in terms), key=len)
    same = [entry for entry in terms if np.array_equal(entry.rows, rows)]
    total = np.sum([entry.values for entry in same], axis=0)
    first = same[0]
    name = first.name if len(same) == 1 else "sum of " + ", ".join(entry.name for entry in same)
    return Series(
        name=name, mode=first.mode, values=total, steps=first.steps, epochs=first.epochs, rows=first.rows
    )


def _dominant_pair(losses: dict[Split, list[Series]]) -> tuple[Series, Series] | None:
    """The term with the largest validation loss that both splits have: where totals are not what is minimised."""
    named = {_bare(entry.name): entry for entry in losses["train"]}
    pairs = [(named[_bare(entry.name)], entry) for entry in losses["val"] if _bare(entry.name) in named]
    pairs = [(train, val) for train, val in pairs if np.isfinite(val.values).all() and len(val.values)]
    if len(pairs) < 2:
        return None
    return max(pairs, key=lambda pair: float(np.median(pair[1].values)))


def _bare(name: str) -> str:
    skipped = {"train", "training", "val", "valid", "validation", "eval", "test", "epoch", "step"}
    return " ".join(word for word in words_of(name) if word not in skipped)


def rows_between(curve: Series, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Mean of a curve's finite values up to each of `rows`, since the one before: (n,) for n rows.

    Where there are none in between, the last before; the first one for rows ahead of all.
    """
    finite = np.isfinite(curve.values)
    values, places = curve.values[finite], curve.rows[finite]
    if not len(values):
        return np.full(len(rows), np.nan)
    ends = np.searchsorted(places, rows, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = np.empty(len(rows))
    start = 0
    for number, end in enumerate(ends):
        means[number] = (
            (sums[end] - sums[start]) / (end - start)
            if end > start
            else values[min(max(end - 1, 0), len(values) - 1)]
        )
        start = max(start, int(end))
    return means
