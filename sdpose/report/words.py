"""What a report says in its own words, in English and Korean; alarms bring theirs."""

from __future__ import annotations

from sdpose.monitor.advice.phrase import Phrase

WORDS = {
    "title": Phrase("Training report: {name}", "학습 리포트: {name}"),
    # Sections
    "verdict": Phrase("Verdict", "판정"),
    "curves": Phrase("Curves", "학습 곡선"),
    "alarms": Phrase("Alarms", "경고"),
    "repairs": Phrase("Repairs", "자동 복구"),
    "incidents": Phrase("Incidents", "사건과 원인 분석"),
    "precision": Phrase("Where AP is lost", "AP 손실 분석"),
    "worst": Phrase("Worst samples", "최악의 샘플"),
    "reproduce": Phrase("How to reproduce", "재현 방법"),
    "config": Phrase("Configuration", "설정"),
    "environment": Phrase("Environment", "환경"),
    # Verdict
    "state.finished": Phrase("The run finished.", "학습이 끝까지 완료되었습니다."),
    "state.interrupted": Phrase(
        "The run was interrupted; everything is saved.", "학습이 중단되었습니다. 모두 저장되어 있습니다."
    ),
    "state.stopped": Phrase("The run was stopped: {why}", "학습이 정지되었습니다: {why}"),
    "state.failed": Phrase("The run failed: {why}", "학습이 실패했습니다: {why}"),
    "state.training": Phrase("The run is still training.", "아직 학습 중입니다."),
    "state.silent": Phrase(
        "The run has no ending in its log and writes no more: it was killed, or hangs.",
        "로그에 끝이 없고 더 이상 기록되지 않습니다: 강제 종료되었거나 멈춰 있습니다.",
    ),
    "state.empty": Phrase("Nothing was logged yet: {why}", "아직 로그가 없습니다: {why}"),
    "summary": Phrase("The run in numbers", "요약"),
    "what": Phrase("what", "항목"),
    "value": Phrase("value", "값"),
    "progress": Phrase("epoch", "epoch"),
    "iteration": Phrase("last logged iteration", "마지막 기록 iteration"),
    "best_ap": Phrase("best AP, with its 95 % interval", "최고 AP (95 % 구간)"),
    "last_ap": Phrase("last AP", "마지막 AP"),
    "last_loss": Phrase("last loss", "마지막 loss"),
    "best_file": Phrase("best checkpoint", "최고 체크포인트"),
    "last_file": Phrase("last checkpoint", "마지막 체크포인트"),
    "training_time": Phrase("time in training steps", "학습 step 시간"),
    "wall_time": Phrase("time by the log, evaluations included", "로그상 전체 시간 (평가 포함)"),
    "energy": Phrase("energy", "에너지"),
    "not_evaluated": Phrase("not evaluated", "평가 없음"),
    "no_file": Phrase("none in the folder", "폴더에 없음"),
    "not_known": Phrase("not known", "알 수 없음"),
    "at_epoch": Phrase("{ap} at epoch {epoch}", "{ap} (epoch {epoch})"),
    "raised": Phrase("alarms while training", "학습 중 경고"),
    "num_raised": Phrase("{critical} critical, {warning} warnings", "심각 {critical}, 주의 {warning}"),
    "num_repairs": Phrase("{made} made, {helped} helped", "{made}회 실행, {helped}회 효과"),
    "cause_found": Phrase("Cause, found by experiment: {cause}", "실험으로 찾은 원인: {cause}"),
    "first_action": Phrase("First thing to do: {action}", "먼저 할 일: {action}"),
    "log_says": Phrase("What its log shows up to there: {verdict}.", "그때까지의 로그 판정: {verdict}."),
    "but_critical": Phrase(
        "Critical alarms while it trained: {kinds}. See Alarms and Repairs.",
        "학습 중 심각한 경고: {kinds}. 경고와 자동 복구를 보세요.",
    ),
    # Curves
    "losses": Phrase("Loss and its terms (logarithmic)", "Loss와 각 항 (로그 스케일)"),
    "score": Phrase("Score of evaluations", "평가 점수"),
    "ap": Phrase("AP with its 95 % interval", "AP와 95 % 구간"),
    "lr": Phrase("Learning rate", "Learning rate"),
    "grad_norm": Phrase(
        "Gradient norm before clipping (logarithmic)", "클리핑 전 gradient norm (로그 스케일)"
    ),
    "health": Phrase(
        "Heatmaps (mean peak, highest, share of flat ones) and spread of tokens between images",
        "히트맵(평균 최댓값, 최댓값, 평평한 비율)과 이미지 간 토큰 편차",
    ),
    "time": Phrase("Seconds an iteration, and of them for data", "iteration당 시간과 데이터 대기 시간 (초)"),
    "acc_pose": Phrase("Accuracy on training batches", "학습 배치 정확도"),
    "line": Phrase(
        "{name} from {first} to {last}, lowest {low}, highest {high}",
        "{name}: 처음 {first}, 마지막 {last}, 최저 {low}, 최고 {high}",
    ),
    "marks": Phrase("alarms at iterations {steps}", "경고가 있는 iteration: {steps}"),
    "memory": Phrase("Memory (MiB)", "메모리 (MiB)"),
    "no_curves": Phrase(
        "Nothing was logged, so there is nothing to draw.", "로그가 없어 그릴 것이 없습니다."
    ),
    # Alarms
    "none_raised": Phrase("None.", "없음."),
    "causes": Phrase("Why probably", "가능한 원인"),
    "actions": Phrase("What to do", "조치"),
    "also_at": Phrase("Also at iterations {steps}.", "다음 iteration에서도: {steps}."),
    "seen_after": Phrase("Found in the log afterwards.", "학습 후 로그에서 발견."),
    "seen_live": Phrase("Raised while training.", "학습 중 발생."),
    "remade": Phrase(
        "Its advice was made anew from the log and config.", "조언은 로그와 설정에서 다시 만들었습니다."
    ),
    "resume": Phrase("To go on where it was: {command}", "이어서 학습: {command}"),
    "alarm_title": Phrase(
        "{severity}: {kind}, iteration {iteration}, epoch {epoch}",
        "{severity}: {kind}, iteration {iteration}, epoch {epoch}",
    ),
    # Repairs and incidents
    "repair": Phrase("repair", "복구"),
    "at_iteration": Phrase("at iteration", "iteration"),
    "outcome": Phrase("outcome", "결과"),
    "no_repairs": Phrase("No repair was made.", "복구가 없었습니다."),
    "no_incidents": Phrase("No incident was kept.", "보관된 사건이 없습니다."),
    "incident_title": Phrase(
        "{severity}: {kind} at iteration {iteration}", "{severity}: {kind}, iteration {iteration}"
    ),
    "severity.critical": Phrase("Critical", "심각"),
    "severity.warning": Phrase("Warning", "주의"),
    "severity.info": Phrase("Note", "정보"),
    "not_explained": Phrase(
        "No experiments were made. To find the cause: sdpose explain {folder}",
        "원인 분석 실험이 없었습니다. 원인 찾기: sdpose explain {folder}",
    ),
    "experiments": Phrase("Experiments", "실험"),
    "ruled_out": Phrase("Ruled out", "배제된 원인"),
    # AP
    "evaluation_of": Phrase(
        "Of the evaluation after epoch {epoch}, the best: {images} images, {persons} persons. Brackets: 95 % intervals "
        "by resampling of images.",
        "최고였던 epoch {epoch} 평가: 이미지 {images}장, 사람 {persons}명. 괄호는 이미지 재표본추출 95 % 구간.",
    ),
    "no_evaluation": Phrase(
        "No evaluation is stored that could be taken apart.", "분석할 수 있는 저장된 평가가 없습니다."
    ),
    "joint_table": Phrase("Labelled joints by what became of them", "관절별 결과 (라벨된 관절 중 비율)"),
    "joint": Phrase("joint", "관절"),
    "labelled": Phrase("labelled", "라벨 수"),
    "no_joint_ap": Phrase(
        "AP of each joint needs the predictions of this evaluation and its annotation file ({why}). Or: sdpose test "
        "{config} {checkpoint} --work-dir {folder} --analyse, then sdpose report {folder}.",
        "관절별 AP에는 이 평가의 예측과 정답 파일이 필요합니다 ({why}). 또는: sdpose test {config} {checkpoint} "
        "--work-dir {folder} --analyse 실행 후 sdpose report {folder}.",
    ),
    "joint_ap": Phrase(
        "AP of each joint: from analysis.json, which sdpose test --analyse left here.",
        "관절별 AP: sdpose test --analyse가 남긴 analysis.json에서.",
    ),
    "error_table": Phrase("Kinds of errors", "오류 종류"),
    "error": Phrase("error", "오류"),
    "share": Phrase("share", "비율"),
    "kinds": Phrase(
        "Good: as near as another annotator. Jitter: near. Inversion: near the mirrored joint, left for right. Swap: "
        "near a joint of another person. Miss: near none of these. Not found: no prediction for the person. Score: a "
        "better prediction of the person had a lower score. Background: a prediction on nobody.",
        "good: 다른 주석자만큼 가까움. jitter: 가까움. inversion: 좌우가 바뀐 관절 근처. swap: 다른 사람의 관절 근처. "
        "miss: 어느 것에도 가깝지 않음. not found: 그 사람의 예측이 없음. score: 같은 사람의 더 좋은 예측이 더 낮은 "
        "점수를 받음. background: 아무도 없는 곳의 예측.",
    ),
    "of_joints": Phrase("of labelled joints", "라벨된 관절 중"),
    "of_persons": Phrase("of persons", "사람 중"),
    "of": Phrase("of", "기준"),
    # Samples
    "worst_images": Phrase("Images with the most lost joints", "관절을 가장 많이 놓친 이미지"),
    "image_id": Phrase("image id", "이미지 id"),
    "lost": Phrase("joints lost", "놓친 관절"),
    "of_not_found": Phrase("of persons not found", "찾지 못한 사람의 관절"),
    "sample": Phrase("{image}, annotation {annotation}: OKS {oks}", "{image}, 주석 {annotation}: OKS {oks}"),
    "sample_alt": Phrase(
        "Predicted pose beside the true pose of a person in {image}, OKS {oks}",
        "{image} 속 사람의 예측 자세와 실제 자세, OKS {oks}",
    ),
    "samples_of_epoch": Phrase(
        "The {count} persons with the lowest OKS in the evaluation after epoch {epoch}; the prediction that fits each "
        "best is on the left, the truth on the right.",
        "epoch {epoch} 평가에서 OKS가 가장 낮은 {count}명. 왼쪽: 가장 잘 맞는 예측, 오른쪽: 정답.",
    ),
    "samples_not_of_best": Phrase(
        "The predictions of the best evaluation are not here; these are the newest that are kept, of epoch {epoch}.",
        "최고 평가의 예측이 없어 보관된 가장 최근 예측(epoch {epoch})을 보여 줍니다.",
    ),
    "samples_of_test": Phrase(
        "The {count} persons with the lowest OKS in result_keypoints.json, which sdpose test left here; the prediction "
        "that fits each best is on the left, the truth on the right.",
        "sdpose test가 남긴 result_keypoints.json에서 OKS가 가장 낮은 {count}명. "
        "왼쪽: 가장 잘 맞는 예측, 오른쪽: 정답.",
    ),
    "no_results": Phrase(
        "No predictions are kept here (no evaluation yet, or one of an older version), so there are no pictures. They "
        "come with: sdpose test {config} {checkpoint} --work-dir {folder}, then sdpose report {folder}.",
        "보관된 예측이 없어(평가 전이거나 이전 버전의 실행) 그림이 없습니다. 만들려면: sdpose test {config} "
        "{checkpoint} --work-dir {folder} 실행 후 sdpose report {folder}.",
    ),
    "no_checkpoint": Phrase(
        "No predictions are kept here, and no checkpoint to make them with.",
        "보관된 예측도, 예측을 만들 체크포인트도 없습니다.",
    ),
    "no_annotations": Phrase(
        "No pictures: {path} is not there (a path in the config counts from where the command is started).",
        "그림 없음: {path} 파일이 없습니다 (설정의 경로는 명령을 실행한 위치 기준입니다).",
    ),
    "no_images": Phrase("No pictures: {path} cannot be read.", "그림 없음: {path} 을(를) 읽을 수 없습니다."),
    "no_config": Phrase(
        "No pictures: the config here does not say where the data are. {path}",
        "그림 없음: 설정에 데이터 위치가 없습니다. {path}",
    ),
    "unreadable": Phrase("No pictures: not usable: {path}", "그림 없음: 사용할 수 없음: {path}"),
    # The rest
    "command": Phrase("The same training again", "같은 학습 다시 하기"),
    "no_seed": Phrase("The seed is not in the log.", "로그에 seed가 없습니다."),
    "exactness": Phrase(
        "Equal to the bit on the same machine with the same packages and the same number of processes.",
        "같은 장비, 같은 패키지, 같은 프로세스 수에서 비트 단위로 동일합니다.",
    ),
    "resolved": Phrase("{file}, as it was resolved", "{file} (해석된 설정)"),
    "no_config_file": Phrase("The folder holds no config.", "폴더에 설정 파일이 없습니다."),
    "no_environment": Phrase("The log does not tell.", "로그에 없습니다."),
    "notes": Phrase("Notes on the files", "파일에 대한 참고"),
}


def say(language: str, name: str, /, **numbers: object) -> str:
    """A phrase in a language."""
    return WORDS[name].say(language, **numbers)
