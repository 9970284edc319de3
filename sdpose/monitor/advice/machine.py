"""What is said about the machine: processes that disagree, waiting, slowness, memory, disk."""

from __future__ import annotations

from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.digits import mib, percent, seconds, times
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.guide_text import loss_digits

DISAGREE = Phrase(
    "Process {rank} has another loss than the rest!", "Process {rank}의 loss가 다른 process와 다름!"
)
DEVIATION = Phrase(
    "{deviation} on average over {num_intervals} log lines, since iteration {first_iteration}",
    "로그 {num_intervals}회 평균 {deviation}, iteration {first_iteration}부터",
)
PER_RANK = Phrase("Loss of each process now: {losses}", "현재 process별 loss: {losses}")
OTHER_DATA = Phrase(
    "This process reads other data: a broken disk or copy, another version of the files",
    "이 process가 다른 데이터를 읽음: 손상된 disk나 사본, 다른 버전의 파일",
)
FAULTY_HARDWARE = Phrase("Its GPU or memory computes wrongly", "GPU나 메모리가 잘못 계산함")
OTHER_CODE = Phrase(
    "Another version of the code or of a library on that machine", "해당 machine의 코드나 library 버전이 다름"
)
COMPARE_DATA = Phrase(
    "Compare the data files of that machine with the others' (size, checksum)",
    "해당 machine의 데이터 파일을 다른 machine과 비교 (크기, checksum)",
)
TEST_HARDWARE = Phrase(
    "Test that GPU: nvidia-smi -q -d ECC, and the same run without it",
    "해당 GPU 점검: nvidia-smi -q -d ECC, 그 GPU를 빼고 같은 학습 실행",
)


def ranks_disagree(case: Case) -> Advice:
    """One process spoils the mean of all gradients."""
    evidence = case.evidence
    losses = ", ".join(loss_digits(loss) for loss in evidence["loss_per_rank"])
    deviation = evidence["deviation"]
    return Advice(
        message=case.message(
            DISAGREE,
            case.say(
                DEVIATION,
                deviation=("+" if deviation > 0 else "") + percent(deviation),
                num_intervals=evidence["num_intervals"],
                first_iteration=evidence["first_iteration"],
            ),
            case.say(PER_RANK, losses=losses),
            rank=evidence["rank"],
        ),
        causes=tuple(case.say(cause) for cause in (OTHER_DATA, FAULTY_HARDWARE, OTHER_CODE)),
        actions=changes.present(
            case.say(COMPARE_DATA), case.say(TEST_HARDWARE), changes.restore_action(case)
        ),
    )


TOO_SLOW = Phrase(
    "Training is slower than it could be: it waits for data", "학습이 너무 느림: 데이터를 기다림"
)
WAITING = Phrase(
    "{share} of the time: {data_time} of {time} an iteration, since iteration {first_iteration}",
    "시간의 {share}: iteration당 {time} 중 {data_time}, iteration {first_iteration}부터",
)
FEW_WORKERS = Phrase(
    "Too few workers read and prepare the pictures", "이미지를 읽고 준비하는 worker가 부족함"
)
SLOW_DISK = Phrase("The disk or network the pictures lie on is slow", "이미지가 있는 disk나 network가 느림")
MORE_WORKERS = Phrase("More data loader workers", "데이터 로더 워커 증가", guide=True)
MEASURE_WORKERS = Phrase("Let the best number be measured", "최적의 worker 수 측정")
PACK = Phrase("Decode the photographs once, before the training", "학습 전에 이미지를 한 번만 디코딩")
LOCAL_COPY = Phrase(
    "Copy the pictures to a local disk, or store them smaller", "이미지를 local disk로 복사하거나 작게 저장"
)


def data_starvation(case: Case) -> Advice:
    """The guide's entry "학습이 너무 느림"."""
    evidence = case.evidence
    workers = case.facts.workers_per_gpu
    more = None
    if workers is not None and workers < changes.MOST_WORKERS:
        new = min(max(2 * workers, 2), changes.MOST_WORKERS)
        more = f"workers_per_gpu {workers} -> {new}{changes.option(case, f'data.workers_per_gpu={new}')}"
    enough = workers is not None and workers >= changes.MOST_WORKERS
    return Advice(
        message=case.message(
            TOO_SLOW,
            case.say(
                WAITING,
                share=percent(evidence["share"]),
                data_time=seconds(evidence["data_time"]),
                time=seconds(evidence["time"]),
                first_iteration=evidence["first_iteration"],
            ),
        ),
        causes=tuple(case.say(cause) for cause in ((SLOW_DISK,) if enough else (FEW_WORKERS, SLOW_DISK))),
        actions=changes.present(
            None if enough else case.act(MORE_WORKERS, more),
            case.act(MEASURE_WORKERS, changes.check(case, "loader")) if case.is_ours else None,
            case.act(PACK, f"sdpose data pack {case.facts.config_path}") if case.is_ours else None,
            case.say(LOCAL_COPY),
        ),
    )


SLOWER = Phrase("Training has become slower", "학습이 느려짐")
TIME_WAS = Phrase(
    "{current} an iteration, {ratio} the {level} from before, since iteration {first_iteration}",
    "Iteration당 {current}, 이전 {level}의 {ratio}, iteration {first_iteration}부터",
)
LOST = Phrase("Lost so far: {lost}", "지금까지 손실: {lost}")
OTHERS_WORK = Phrase("Another program uses the same machine", "다른 프로그램이 같은 machine을 사용함")
HOT = Phrase("The GPU throttles: heat or a power limit", "GPU throttling: 온도 또는 전력 제한")
SLOW_READING = Phrase("Reading the data has become slower", "데이터 읽기가 느려짐")
LOOK_AROUND = Phrase("See who else is there: nvidia-smi, top", "다른 사용자 확인: nvidia-smi, top")
LOOK_AT_HEAT = Phrase(
    "See whether the GPU is throttled: nvidia-smi -q -d PERFORMANCE",
    "GPU throttling 확인: nvidia-smi -q -d PERFORMANCE",
)
COMPARE_DATA_TIME = Phrase(
    "Compare data_time with time in the log: if it grew too, it is the data",
    "로그에서 data_time과 time 비교: 함께 늘었으면 데이터 문제",
)


def throughput_drop(case: Case) -> Advice:
    """Slower than it was."""
    evidence = case.evidence
    return Advice(
        message=case.message(
            SLOWER,
            case.say(
                TIME_WAS,
                current=seconds(evidence["current"]),
                ratio=times(evidence["ratio"]),
                level=seconds(evidence["level"]),
                first_iteration=evidence["first_iteration"],
            ),
            case.say(LOST, lost=seconds(evidence["lost_s"])),
        ),
        causes=tuple(case.say(cause) for cause in (OTHERS_WORK, HOT, SLOW_READING)),
        actions=(case.say(LOOK_AROUND), case.say(LOOK_AT_HEAT), case.say(COMPARE_DATA_TIME)),
    )


GROWS = Phrase("Memory use grows steadily!", "메모리 사용량이 계속 증가!")
GREW = Phrase(
    "{metric}: {first} -> {current} since iteration {first_iteration}; {rate} every 1000 iterations",
    "{metric}: {first} → {current}, iteration {first_iteration}부터; 1000 iteration마다 {rate}",
)
AT_THE_END = Phrase("At the end of the run: {at_the_end}", "학습이 끝날 때 예상: {at_the_end}")
KEPT = Phrase(
    "A hook or loss of yours keeps tensors or records of every iteration",
    "직접 작성한 hook이나 loss가 매 iteration의 tensor나 기록을 보관함",
)
LIBRARY_LEAK = Phrase("A library that reads or decodes pictures leaks", "이미지를 읽는 library의 memory leak")
DETACH = Phrase(
    "In own code keep numbers (.item() at the log line), not tensors",
    "직접 작성한 코드에서 tensor 대신 숫자만 보관",
)
RESTART = Phrase(
    "Until it is found: stop and resume, which starts with fresh memory",
    "원인을 찾을 때까지: 중단 후 resume하면 메모리가 초기화됨",
)
SMALLER_BATCH = Phrase(
    "If the device runs out of memory: a smaller batch", "CUDA out of memory가 발생하면 batch 줄이기"
)


def memory_growth(case: Case) -> Advice:
    """A leak; where it will end, the guide's "CUDA out of memory" stands."""
    evidence = case.evidence
    samples = case.facts.samples_per_gpu
    smaller = None
    if case.metric == "memory" and samples is not None and samples > 1:
        half = samples // 2
        smaller = f"samples_per_gpu {samples} -> {half}{changes.option(case, f'data.samples_per_gpu={half}')}"
    lines = [
        case.say(
            GREW,
            metric=case.metric,
            first=mib(evidence["first"]),
            current=mib(evidence["current"]),
            first_iteration=evidence["first_iteration"],
            rate=mib(evidence["per_1000_iterations"]),
        )
    ]
    if evidence.get("at_the_end") is not None:
        lines.append(case.say(AT_THE_END, at_the_end=mib(evidence["at_the_end"])))
    return Advice(
        message=case.message(GROWS, *lines),
        causes=(case.say(KEPT), case.say(LIBRARY_LEAK)),
        actions=changes.present(
            case.say(DETACH),
            case.act(RESTART, "--resume-from auto" if case.is_ours else None),
            case.act(SMALLER_BATCH, smaller) if smaller else None,
        ),
    )


NO_ROOM = Phrase(
    "The disk has no room for the next checkpoint!", "다음 checkpoint를 저장할 disk 공간이 없음!"
)
FILLING = Phrase("The disk will be full before the next checkpoint!", "다음 checkpoint 전에 disk가 가득 참!")
FREE_NEEDED = Phrase("Free: {free}; needed: {needed}", "남은 공간: {free}; 필요: {needed}")
FILLS_AT = Phrase(
    "{rate} go every 1000 iterations; the next checkpoint is due in {left}",
    "1000 iteration마다 {rate} 감소; 다음 checkpoint까지 {left} iteration",
)
TOO_MANY_KEPT = Phrase("Too many checkpoints are kept", "보관하는 checkpoint가 너무 많음")
OTHERS_WRITE = Phrase("Other programs write to the same disk", "다른 프로그램이 같은 disk에 기록함")
MAKE_ROOM = Phrase("Make room now; training goes on meanwhile", "지금 공간을 확보 (학습은 계속됨)")
KEEP_FEWER = Phrase("Keep fewer checkpoints", "보관하는 checkpoint 수 줄이기")
OTHER_DISK = Phrase("Save them elsewhere", "다른 disk에 저장")


def disk_low(case: Case) -> Advice:
    """Before the checkpoint is lost."""
    evidence = case.evidence
    lines = [case.say(FREE_NEEDED, free=mib(evidence["free"]), needed=mib(evidence["needed"]))]
    left = evidence.get("iterations_left")
    if not evidence["already"] and left is not None:
        lines.append(case.say(FILLS_AT, rate=mib(evidence["filling_per_1000_iterations"]), left=left))
    return Advice(
        message=case.message(NO_ROOM if evidence["already"] else FILLING, *lines),
        causes=(case.say(TOO_MANY_KEPT), case.say(OTHERS_WRITE)),
        actions=(
            case.act(MAKE_ROOM, f"du -sh {case.facts.work_dir}/*" if case.facts.work_dir else None),
            case.act(
                KEEP_FEWER, "--cfg-options checkpoint_config.max_keep_ckpts=3" if case.is_ours else None
            ),
            case.act(OTHER_DISK, "--cfg-options checkpoint_config.out_dir=DIR" if case.is_ours else None),
        ),
    )
