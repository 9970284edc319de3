"""What the columns of a log are: the training loss, the validation loss, the score. By their names.

Every trainer spells them its own way (`loss`, `train_loss_epoch`, `train/box_loss`, `metrics/mAP50-95(P)`,
`coco/AP`, `val_acc`, `eval_loss`); here is what the spellings mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Split = Literal["train", "val"]
Meaning = Literal["loss", "score", "error", "other"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Whole words of a name, after splitting at / _ . - ( ) spaces and capitals.
_VAL_WORDS = _set("val valid validation eval evaluation test dev holdout")
_TRAIN_WORDS = _set("train training tr")
_LOSS_WORDS = _set("loss losses nll perplexity ppl elbo cost objective crossentropy bce")
_ERROR_WORDS = _set("mse mae rmse rmsle mape wer cer nme epe mpjpe fid lpips err error")
_SCORE_WORDS = _set(
    """
    acc accuracy map ap ar auc auroc auprc f1 fscore iou miou dice pck precision prec recall psnr ssim bleu rouge
    r2 oks top1 top5 kappa mcc reward return success score fitness specificity sensitivity meteor cider ndcg
    mrr em
    """
)
_NO_METRIC = _set(
    """
    lr learning rate time eta memory mem epoch epochs step steps iter iters iteration grad gradnorm norm
    flos runtime second seconds samples momentum decay seed gpu vram created timestamp date throughput fps
    size batch batches epsilon temperature scale duration elapsed tokens phase param params wd beta num
    count length
    """
)
_ANY_TOTAL = _set("total loss all sum overall running smooth smoothed combined full final")
_LIKELIHOODS = (["nll"], ["nll", "loss"], ["ppl"], ["perplexity"], ["bce"], ["cost"], ["objective"])
_WORD = re.compile(r"[a-z]+\d*|\d+", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")


class Role(NamedTuple):
    """What one column is."""

    split: Split
    meaning: Meaning


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case: `metrics/mAP50-95(P)` -> metrics, map50, 95, p."""
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", name))]


def role_of(name: str, mode: str) -> Role:
    """The role of a column; `mode` ("train", "val") is what the log's format says about the row."""
    words = words_of(name)
    split: Split = "val" if mode == "val" else "train"
    if _VAL_WORDS & set(words) or words[:1] == ["metrics"]:
        split = "val"
    elif _TRAIN_WORDS & set(words):
        split = "train"
    return Role(split, _meaning(words))


def _meaning(words: Sequence[str]) -> Meaning:
    if any(word in _LOSS_WORDS or word.endswith("loss") for word in words):
        return "loss"
    if set(words) & _NO_METRIC:
        return "other"
    if set(words) & _ERROR_WORDS:
        return "error"
    if any(re.sub(r"\d+$", "", word) in _SCORE_WORDS or word in _SCORE_WORDS for word in words):
        return "score"
    return "other"


def main_loss(names: Iterable[str], split: Split) -> str | None:
    """Of the losses of a split, the one that the run minimises: a total beside its terms, an epoch's before a step's.

    None when there are only terms (Ultralytics' box, pose, cls ...), whose sum is the loss then.
    """
    candidates = list(names)
    if not candidates:
        return None
    ranked = sorted(candidates, key=lambda name: (_total_rank(name), len(name), name))
    best = ranked[0]
    if _total_rank(best) < _TERM or len(candidates) == 1:
        return best
    return None


_TERM = 5


def _total_rank(name: str) -> int:
    words = [
        word
        for word in words_of(name)
        if word not in _VAL_WORDS | _TRAIN_WORDS | {"metrics", "avg", "mean", "epoch"}
    ]
    if words == ["loss"] or words == []:
        return 0 if "step" not in words_of(name) else 2
    if words == ["loss", "step"] or words == ["step", "loss"]:
        return 2
    if set(words) <= _ANY_TOTAL:
        return 1
    if words in _LIKELIHOODS:
        return 3
    return _TERM


# What people compare runs by, best first; the first that matches decides.
_SCORE_ORDER = (
    r"(^|/)coco/ap$", r"(^|/)ap$", r"map50-95\(p\)", r"map_0\.5:0\.95", r"map50-95", r"keypoints?_map$", r"bbox_map$",
    r"segm_map$", r"(^|[/_])m?ap$", r"oks", r"pck", r"map", r"miou", r"iou", r"dice", r"f1", r"auc", r"acc", r"ap",
)  # fmt: skip


def score_rank(name: str) -> int:
    """The smaller, the more a score is the one that decides; for sorting the scores of a log."""
    lower = name.lower()
    for rank, pattern in enumerate(_SCORE_ORDER):
        if re.search(pattern, lower):
            return rank
    return len(_SCORE_ORDER)
