"""Korean advice. Where the guide has a sentence for it, the sentence is the guide's, word for word.

The comment over a group names its place in the guide. `{...}` are numbers of the run. Where the guide says
"cause → action" in one line, the action is that whole line and the cause its first half.
"""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "label_cause": "가능한 원인",
    "label_action": "조치",
    # 자동 감지 기능 1. Loss Spike 감지, 조치
    "check_lr": "Learning rate가 너무 높은지 확인",
    "check_clipping": "Gradient clipping 확인 (현재: max_norm={max_norm})",
    "check_clipping_off": "Gradient clipping 확인 (현재: 없음)",
    "check_data": "데이터 이상 확인",
    "check_data_iterations": "iteration {first}-{last}",
    "faulty_data": "데이터 이상",
    # 자동 감지 기능 2. 성능 하락 감지, 조치
    "overfitting": "Overfitting 가능성",
    "check_schedule": "Learning rate schedule 확인",
    "restore_best": "이전 checkpoint로 복원 고려",
    # Case 2: AP가 0.0000
    "no_heatmaps": "Heatmap이 제대로 생성되지 않음",
    "abnormal_output": "모델 출력이 이상함 (NaN, Inf, 극단값)",
    "extreme_output": "모델 출력이 이상함 (극단값)",
    "run_quick_check": "Quick check 실행",
    "grep_log": "로그에서 NaN/Inf 확인",
    # Case 3: Loss가 급증 후 발산
    "gradient_explosion": "Gradient explosion",
    "clip_tighter": "Gradient explosion → Gradient clipping 강화 ({old} → {new})",
    "clip_on": "Gradient explosion → Gradient clipping 추가",
    "lr_too_high": "Learning rate가 너무 높음",
    "lower_lr": "Learning rate가 너무 높음 → 감소",
    "lower_lr_or_warm_up": "Learning rate가 너무 높음 → 감소 또는 warmup 추가",
    "batch_size_changed": "Batch size 변경 시 발생",
    "adjust_lr": "Batch size 변경 시 발생 → Learning rate도 함께 조정",
    "adjust_lr_batch": "현재 batch: samples_per_gpu {samples} x {processes} = {total}, lr {lr}",
    # 팁 2. 학습 중반, 팁 3. 학습 후반
    "mid_run_spike": "Loss spike가 발생하면 learning rate schedule 확인",
    "stop_early": "Early stopping 고려 가능",
    # 도움이 필요하면 4.
    "restore_earlier": "이전 checkpoint로 복원: 문제가 생긴 시점 이전으로",
}
