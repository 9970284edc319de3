// The page's own words; alerts come from the server in the same language.
const WORDS = {
  en: {
    skip: "Skip to the run", language: "Language", theme: "Colours", auto: "as the system", light: "light", dark: "dark",
    runs: "Runs", overlay_hint: "Tick runs to lay their curves over the one shown.", overlay: "overlay",
    alerts: "Alerts", no_alerts: "No alerts.", curves: "Curves", axis: "Along", iterations: "iterations", epochs: "epochs",
    loss_scale: "Loss scale", linear: "linear", log: "logarithmic", smoothing: "Smoothing", none: "none",
    records: "records", from: "From", to: "to", whole: "Whole run",
    zoom_hint: "Drag over a chart to look closer; double-click for the whole run.",
    numbers: "The numbers of these curves as a table", rows_of: "Rows of", training_rows: "training", evaluation: "evaluation",
    picture: "Newest predictions", picture_alt: "Predictions beside the truth, written", checkpoints: "Checkpoints",
    no_checkpoints: "None in the folder.", config: "Configuration", no_config: "No config in the folder.",
    training: "training", finished: "finished", silent: "silent", interrupted: "interrupted", stopped: "stopped",
    failed: "failed", deleted: "folder gone", for: "for", epoch: "epoch", iteration: "iteration", of: "of", best: "best",
    at_epoch: "at epoch", verdict: "Verdict", state: "State", last_record: "Last record", ago: "ago", num_records: "Records",
    healthy: "healthy", nan: "NaN", diverged: "diverged", metric_collapse: "score collapsed", no_learning: "not learning",
    overfit: "overfitting", spike: "loss spike", unknown: "not judged yet",
    zero_score: "score is 0 everywhere", too_short: "too short to judge", alarmed: "critical alerts", repaired: "repaired", warned: "see the warnings",
    critical_many: "critical", warning_many: "warnings", also_at: "also at iterations",
    unit_s: " s", unit_min: " min", unit_h: " h", unit_d: " d",
    unreadable: "unreadable", empty: "nothing logged yet", why: "Why it ended", no_number: "NaN or Inf",
    silent_why: "The log has no ending and gets no more lines: the training was killed, or hangs.",
    causes: "Probable causes", actions: "What to do", evidence: "Numbers", by_run: "said by the run's monitor",
    by_log: "read from the log", remade: "advice made anew from the log and config", as_written: "as it was written",
    critical: "critical", warning: "warning", info: "info", connected: "live", lost: "connection lost, trying again",
    reading: "reading the log", overview: "an even sample of it is shown", name: "Name", size: "Size", changed: "Written",
    points_to: "points to", differs: "What differs", no_difference: "These configs do not differ.", setting: "Setting",
    missing_config: "No readable config", not_set: "not set", step: "iteration", shown_of: "rows shown of",
    losses: "Losses", score: "Score", score_band: "95 % noise band", guide: "guide's expectation", lr: "Learning rate",
    grad_norm: "Gradient norm", time: "Seconds an iteration", memory: "Memory and disk (MiB)", health: "Heatmaps and tokens",
    train_score: "Accuracy on training batches", other: "Other values", smoothed: "smoothed", not_finite: "not finite at",
    choose: "Choose a run on the left.", no_curves: "No curves yet.",
  },
  ko: {
    skip: "실행으로 건너뛰기", language: "언어", theme: "색상", auto: "시스템 설정", light: "밝게", dark: "어둡게",
    runs: "실행 목록", overlay_hint: "체크한 실행의 곡선이 겹쳐 표시됩니다.", overlay: "겹치기",
    alerts: "경고", no_alerts: "경고가 없습니다.", curves: "곡선", axis: "가로축", iterations: "iteration", epochs: "epoch",
    loss_scale: "Loss 축", linear: "선형", log: "로그", smoothing: "스무딩", none: "없음",
    records: "개 기록", from: "시작", to: "끝", whole: "전체 보기",
    zoom_hint: "차트를 드래그하면 확대되고, 두 번 클릭하면 전체가 보입니다.",
    numbers: "곡선의 수치를 표로 보기", rows_of: "표시할 행", training_rows: "학습", evaluation: "평가",
    picture: "최근 예측", picture_alt: "정답과 나란히 놓은 예측, 작성 시각", checkpoints: "체크포인트",
    no_checkpoints: "폴더에 없습니다.", config: "설정", no_config: "폴더에 설정 파일이 없습니다.",
    training: "학습 중", finished: "완료", silent: "응답 없음", interrupted: "중단됨", stopped: "정지됨",
    failed: "실패", deleted: "폴더 없음", for: "동안", epoch: "epoch", iteration: "iteration", of: "/", best: "최고",
    at_epoch: "epoch", verdict: "판정", state: "상태", last_record: "마지막 기록", ago: "전", num_records: "기록 수",
    healthy: "정상", nan: "NaN", diverged: "발산", metric_collapse: "점수 붕괴", no_learning: "학습 안 됨",
    overfit: "과적합", spike: "loss 급등", unknown: "아직 판정 없음",
    zero_score: "모든 점수가 0", too_short: "판정하기에 짧음", alarmed: "심각한 경고", repaired: "복구됨", warned: "주의 경고 확인",
    critical_many: "심각", warning_many: "주의", also_at: "다음 iteration에서도:",
    unit_s: "초", unit_min: "분", unit_h: "시간", unit_d: "일",
    unreadable: "읽을 수 없음", empty: "아직 기록 없음", why: "끝난 이유", no_number: "NaN 또는 Inf",
    silent_why: "로그에 끝이 없고 더 이상 기록되지 않습니다: 학습이 강제 종료되었거나 멈춰 있습니다.",
    causes: "가능한 원인", actions: "조치", evidence: "수치", by_run: "실행의 모니터가 기록",
    by_log: "로그에서 판독", remade: "로그와 설정에서 다시 만든 조언", as_written: "기록된 그대로",
    critical: "심각", warning: "주의", info: "정보", connected: "실시간", lost: "연결이 끊겨 다시 시도 중",
    reading: "로그를 읽는 중", overview: "고르게 뽑은 표본을 표시합니다", name: "이름", size: "크기", changed: "작성",
    points_to: "가리키는 파일", differs: "다른 설정", no_difference: "설정이 같습니다.", setting: "설정 항목",
    missing_config: "읽을 수 있는 설정 없음", not_set: "없음", step: "iteration", shown_of: "행 표시 / 전체",
    losses: "Loss", score: "점수", score_band: "95 % 오차 범위", guide: "가이드 기대치", lr: "Learning rate",
    grad_norm: "Gradient norm", time: "iteration당 시간 (초)", memory: "메모리와 디스크 (MiB)", health: "히트맵과 토큰",
    train_score: "학습 배치 정확도", other: "그 밖의 값", smoothed: "스무딩", not_finite: "NaN/Inf:",
    choose: "왼쪽에서 실행을 고르세요.", no_curves: "아직 곡선이 없습니다.",
  },
};
let language = "en";
export const currentLanguage = () => language;
export function say(key) { return WORDS[language][key] ?? WORDS.en[key] ?? key; }
export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const node of document.querySelectorAll("[data-word]")) {
    const key = node.dataset.word;
    node.textContent = say(node.closest("#table-mode") && key === "training" ? "training_rows" : key);
  }
}
