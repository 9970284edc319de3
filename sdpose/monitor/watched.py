"""Which values of a run stand for it: the training loss, the validation loss and the score, in anybody's words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sdpose.monitor.record import Record
from sdpose.monitor.roles import main_loss, role_of, score_rank, words_of

# Scores of which a third of all is much; of others (an accuracy, an AUC) half may be what chance gives.
_HARD_SCORES = frozenset(["ap", "map", "mar", "ar", "iou", "miou", "dice", "oks", "pck"])
# Rewards, PSNR and the like have no end of scale; they are watched when named.
_UNBOUNDED = score_rank("reward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Names of values; None: not known yet, and looked for in the records."""

    loss: str | None = None
    """Of train records, lower is better."""
    val_loss: str | None = None
    """Of evaluations, lower is better."""
    score: str | None = None
    """Of evaluations, higher is better."""
    ours: bool = False
    """A run of this project, whose heatmaps and epochs are known."""

    def learn(self, record: Record) -> Watched:
        """The same, with names that are not known yet found in this record."""
        if record.mode == "train":
            return self if self.loss is not None else replace(self, loss=_loss(record))
        if self.score is not None and self.val_loss is not None:
            return self
        return replace(self, score=self.score or _score(record), val_loss=self.val_loss or _loss(record))


OURS = Watched(loss="loss", score="AP", ours=True)


def good_score(name: str) -> float:
    """The share of a full score that only a model which has learnt something gets."""
    return 0.3 if _HARD_SCORES & set(words_of(name)) else 0.75


def full_score(best: float) -> float:
    """What a perfect score is, told from the best so far: 1, or 100 for percent; for others their own size."""
    if 0.0 <= best <= 1.5:
        return 1.0
    return 100.0 if 0.0 <= best <= 100.0 else abs(best)


def _loss(record: Record) -> str | None:
    names = [name for name in record.values if role_of(name, record.mode).meaning == "loss"]
    # Without a total the first term is better watched than none.
    return main_loss(names, record.mode) or next(iter(names), None)


def _score(record: Record) -> str | None:
    names = [name for name in record.values if role_of(name, record.mode).meaning == "score"]
    best = min(names, key=lambda name: (score_rank(name), len(name)), default=None)
    return best if best is not None and score_rank(best) < _UNBOUNDED else None
