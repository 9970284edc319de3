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
# Of a whole run, where its log shows no fault.
RUN_VERDICTS = {
    **VERDICTS,
    "zero_score": Phrase(
        "nothing usable yet: the score is 0 in every evaluation",
        "아직 쓸 수 있는 결과 없음: 모든 평가에서 점수가 0",
    ),
    "too_short": Phrase(
        "too short to judge: nothing wrong in the few records there are",
        "판정하기에 너무 짧음: 적은 기록에서는 이상이 발견되지 않음",
    ),
    "alarmed": Phrase(
        "look at the alarms: critical ones were raised while it trained",
        "경고 확인 필요: 학습 중 심각한 경고가 발생함",
    ),
    "warned": Phrase(
        "nothing broke, but look at the warnings raised while it trained",
        "깨진 것은 없으나 학습 중 나온 주의 경고를 확인하세요",
    ),
    "repaired": Phrase(
        "repaired: critical alarms were raised, and a repair helped",
        "복구됨: 심각한 경고가 있었으나 자동 복구가 효과를 봄",
    ),
}
