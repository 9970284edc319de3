"""The verdict on a whole run, as a sentence."""

from __future__ import annotations

from sdpose.monitor.advice.phrase import Phrase

VERDICTS = {
    "healthy": Phrase("healthy: nothing wrong found", "정상: 이상이 발견되지 않음"),
    "nan": Phrase("NaN or Inf: numbers of this run are broken", "NaN/Inf: 학습 수치가 깨졌음"),
    "diverged": Phrase(
        "diverged: the loss rose and did not come back", "발산: loss가 올라가서 돌아오지 않음"
    ),
    "metric_collapse": Phrase(
        "the score collapsed, or never left zero", "지표 붕괴: 점수가 무너졌거나 0에 머묾"
    ),
    "no_learning": Phrase("no learning: the loss does not fall", "학습 안 됨: loss가 감소하지 않음"),
    "overfit": Phrase(
        "overfitting: validation gets worse while training improves",
        "과적합: 학습은 좋아지는데 검증이 나빠짐",
    ),
    "spike": Phrase("a loss spike, recovered since", "Loss spike: 이후 회복됨"),
}
