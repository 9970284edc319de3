"""Plain text logs: what is a value, where in the run it stands, and what is none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import reader_samples as samples
from reader_samples import names, read_text, series, steps, values

from sdpose.monitor.readers import UnreadableLog


def many(*templates: str, count: int = 4) -> str:
    """Lines of a log: each template with `{i}` counting from 1, `{f}` a falling number; one after the other."""
    lines = [
        template.format(i=i, f=samples.falling(i)) for i in range(1, count + 1) for template in templates
    ]
    return "\n".join(lines) + "\n"


FALLING = [samples.falling(i) for i in range(1, 5)]

# Line of a log -> names of what it tells of training, and of validation.
SHAPES: list[tuple[str, list[str], list[str]]] = [
    ("Epoch {i}: loss {f}", ["loss"], []),
    ("Epoch {i} loss {f} val_loss 0.6", ["loss"], ["val_loss"]),
    ("epoch={i} loss={f} lr=1e-3", ["loss", "lr"], []),
    ("[Epoch {i}/4] [Batch 3/7] [D loss: {f}] [G loss: 0.5]", ["D loss", "G loss"], []),
    ("Epoch: {i}| train loss: {f}", ["train loss"], []),
    (
        "2025-07-07 13:55:26.649 INFO: Epoch [00{i}/300] - Train Loss: {f}, LR: [0.01]",
        ["LR", "Train Loss"],
        [],
    ),
    ("iter {i}: loss {f}, time 1434.03ms, mfu -100.00%", ["loss"], []),
    ("step {i}: train loss {f}, val loss 4.2475", ["train loss"], ["val loss"]),
    ("{{'loss': {f}, 'grad_norm': 2.5, 'epoch': 0.{i}}}", ["grad_norm", "loss"], []),
    ('| INFO | train_inner | {{"epoch": {i}, "loss": "{f}", "ppl": "47"}}', ["loss", "ppl"], []),
    ("| epoch 00{i} | loss {f} | ppl 400.5 | lr 0.01", ["loss", "ppl"], []),
    ("INFO:tensorflow:loss = {f}, step = {i}00 (3.5 sec)", ["loss"], []),
    ("solver.cpp:237] Iteration {i}, loss = {f}", ["loss"], []),
    ("epoch {i} loss tensor({f}, device='cuda:0', grad_fn=<A>)", ["loss"], []),
    ("Epoch {i} | Loss: {f} (2.5) | Acc@1 50.0 (49.0)", ["Acc@1", "Loss"], []),
    ("epoch {i} loss: {f} loss1: 0.5 loss2: 0.25", ["loss", "loss1", "loss2"], []),
    (
        "Epoch(val) [{i}][2/2]    coco/AP: {f}  coco/AP .5: 0.9  coco/AP (L): 0.5",
        [],
        ["coco/AP", "coco/AP (L)", "coco/AP .5"],
    ),
    ("Validation: epoch {i}, loss {f}, acc 0.5", [], ["acc", "loss"]),
    ("Epoch {i} Train: loss {f} acc 0.5 | Val: loss 0.7 acc 0.4", ["acc", "loss"], ["acc", "loss"]),
    (
        "Epoch {i} | Train Loss: {f} | Acc: 0.5 | Val Loss: 0.6 | Acc: 0.4",
        ["Acc", "Train Loss"],
        ["Acc", "Val Loss"],
    ),
    ("\x1b[32mEpoch {i}\x1b[0m loss: \x1b[1m{f}\x1b[0m", ["loss"], []),
    (
        "[01/05 12:00:00 d2]:  eta: 0:10:00  iter: {i}  total_loss: {f}  max_mem: 2000M",
        ["max_mem", "total_loss"],
        [],
    ),
    ("epoch {i}, phase train, step {i}0, loss_train, {f}", ["loss_train"], []),
    ("loss:{f}, accuracy:0.99, recall:0.98", ["accuracy", "loss", "recall"], []),
]


@pytest.mark.parametrize(("line", "train", "val"), SHAPES, ids=[line[:40] for line, _, _ in SHAPES])
def test_shapes(line: str, train: list[str], val: list[str], tmp_path: Path) -> None:
    log = read_text(tmp_path, many(line))
    assert log.format == "text_log"
    told = sorted([(name, "train") for name in train] + [(name, "val") for name in val])
    assert names(log) == told
    assert [values(log, *place) for place in told].count(FALLING) == 1


def test_mmengine(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.mmengine_text())
    assert names(log) == [
        ("coco/AP", "val"),
        ("coco/AP .5", "val"),
        ("loss", "train"),
        ("lr", "train"),
        ("time", "train"),
        ("time", "val"),
    ]
    assert steps(log, "loss") == list(range(1, 25)) and log.total_epochs == 6
    assert values(log, "coco/AP") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert steps(log, "coco/AP") == [4, 8, 12, 16, 20, 24] and series(log, "coco/AP").epochs[-1] == 6
    assert log.facts == {"lr": 0.004, "total_epochs": 6, "seed": 23}
    # Line numbers are those of the file.
    assert series(log, "loss").rows[0] == 7


def test_keras_counts_epochs_in_headings_and_bars_in_their_last_state(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.keras_text())
    expected = [samples.falling(epoch) for epoch in range(1, 7)]
    assert values(log, "loss") == values(log, "val_loss") == expected
    assert series(log, "loss").epochs.tolist() == [1, 2, 3, 4, 5, 6] and log.total_epochs == 6


def test_keras_without_a_terminal_writes_a_line_each_time(tmp_path: Path) -> None:
    text = samples.keras_text().replace("\r", "\n")
    assert values(read_text(tmp_path, text), "loss") == [samples.falling(epoch) for epoch in range(1, 7)]


def test_keras_three_writes_an_epoch_twice(tmp_path: Path) -> None:
    bar = "8/8 ━━━━━━━━━━ 2s 16ms/step - loss: {f}"
    text = many("Epoch {i}/4", bar, "Epoch {i}: val_loss improved from 9 to 8", bar + " - val_loss: 0.5")
    log = read_text(tmp_path, text)
    assert values(log, "loss") == FALLING and values(log, "val_loss") == [0.5] * 4


def test_model_evaluate_after_training_is_validation(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.keras_text() + "94/94 [=====] - 0s 4ms/step - loss: 7.5 - acc: 0.1\n")
    assert values(log, "loss", "train")[-1] == samples.falling(6) and values(log, "loss", "val") == [7.5]


@pytest.mark.parametrize("glue", ["\r", "\n", ""])
def test_a_bar_an_epoch_tells_its_end(glue: str, tmp_path: Path) -> None:
    bars = [
        f"Epoch {epoch}:  {done * 25}%|##   | {done}/4 [00:10<00:12, 12.80it/s, loss={5 - epoch - done / 10}, v_num=3]"
        for epoch in range(3)
        for done in range(5)
    ]
    log = read_text(tmp_path, glue.join(bars) + "\n`Trainer.fit` stopped.\n")
    assert values(log, "loss") == [4.6, 3.6, 2.6] and steps(log, "loss") == [4, 8, 12]
    assert series(log, "loss").epochs.tolist() == [0, 1, 2]


def test_a_bar_a_run_tells_every_state(tmp_path: Path) -> None:
    bars = [f"Training:  {i}%|#   | {i}/100 [00:10<00:12, 12.80it/s, loss={100 - i}]" for i in range(1, 21)]
    log = read_text(tmp_path, "\r".join(bars))
    assert values(log, "loss") == [100 - i for i in range(1, 21)] and steps(log, "loss") == list(range(1, 21))
    # A carriage return ends a line, so that every state has a row of its own.
    assert series(log, "loss").rows.tolist() == list(range(1, 21))


def test_text_beside_a_bar_is_read(tmp_path: Path) -> None:
    line = "Progress:   {i}%|#    | {i}/9 [00:01<26:41,  1.60s/it]Size: 1%, Epoch: {i}, Train Loss: {f}, Val Loss: 5.0"
    assert values(read_text(tmp_path, many(line)), "Train Loss") == FALLING


def test_an_evaluation_counts_once_by_its_mean(tmp_path: Path) -> None:
    text = many(
        "Epoch: [{i}][ 0/20]\tLoss {f} (9.9)",
        "Test: [ 0/78]\tLoss 7.0 (7.0)\tAcc@1 1.0 (1.0)",
        "Test: [78/78]\tLoss 8.0 ({f})\tAcc@1 2.0 (50.{i})",
    )
    log = read_text(tmp_path, text)
    assert values(log, "Loss", "train") == FALLING and values(log, "Loss", "val") == FALLING
    assert values(log, "Acc@1", "val") == [50.1, 50.2, 50.3, 50.4]


def test_share_in_brackets_behind_a_fraction(tmp_path: Path) -> None:
    text = many(
        "Train Epoch: {i} [0/60000 (0%)]\tLoss: {f}",
        "Test set: Average loss: 0.04, Accuracy: 9843/10000 (98%)",
    )
    assert values(read_text(tmp_path, text), "Accuracy", "val") == [98.0] * 4


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_not_finite_numbers_are_values(word: str, tmp_path: Path) -> None:
    text = (
        many("iter {i}: loss {f}, time 14ms")
        + f"iter 5: loss {word}, time 14ms\niter 6: loss {word}, time 14ms\n"
    )
    loss = values(read_text(tmp_path, text), "loss")
    assert loss[:4] == FALLING and [str(value) for value in loss[4:]] == [str(float(word))] * 2


def test_thousands_and_exponents(tmp_path: Path) -> None:
    text = "".join(f"Step {i * 1000:,} | loss: {12345.5 - i:,} | lr: {i}e-05\n" for i in range(1, 4))
    log = read_text(tmp_path, text)
    assert values(log, "loss") == [12344.5, 12343.5, 12342.5] and steps(log, "loss") == [1000, 2000, 3000]
    assert values(log, "lr") == [1e-5, 2e-5, 3e-5]


def test_names_that_differ_in_a_digit_stay_apart(tmp_path: Path) -> None:
    log = read_text(tmp_path, many("epoch {i}", "head1 loss: {f}", "head2 loss: 0.5"))
    assert values(log, "head1 loss") == FALLING and values(log, "head2 loss") == [0.5] * 4


def test_lines_below_a_place_belong_to_it(tmp_path: Path) -> None:
    log = read_text(tmp_path, many("epoch:0 || iter:{i}0 || Loss:9.5", "->> conf loss:{f}", "->>lr:0.0005"))
    assert steps(log, "conf loss") == [10, 20, 30, 40] and values(log, "lr") == [0.0005] * 4


COCO = """\
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.{i}51
 Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.7
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = -1.000
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = nan
 Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.5
| category | AP    |
| balloon  | nan   |
bbox_mAP_copypaste: 0.019 0.072 0.001 -1.000 -1.000 nan"""


def test_coco_tables_give_scores_but_never_their_gaps(tmp_path: Path) -> None:
    log = read_text(tmp_path, many("Epoch [{i}][2/2]\tloss: {f}", COCO))
    assert names(log) == [("AP", "val"), ("AP .5", "val"), ("AR (L)", "val"), ("loss", "train")]
    assert values(log, "AP") == [0.151, 0.251, 0.351, 0.451] and steps(log, "AP") == [2, 4, 6, 8]


BEFORE_TRAINING = """\
Namespace(batch_size=10, epoch=100, lr=0.0005, loss_weight=2.0)
max_dataset_size: inf\t[default: inf]
    PyTorch: 1.10.1  CUDA: 11.3  loss = nan in none of them
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0),
    loss_aux=dict(type='CrossEntropyLoss', loss_weight=0.4),
    loss_cls=dict(type='CrossEntropyLoss', loss_weight=0.1),
[data] NaN left: target=0  forcing=0
"""


def test_configs_and_environments_are_no_series(tmp_path: Path) -> None:
    log = read_text(tmp_path, BEFORE_TRAINING + many("Epoch [{i}][5/5]\tloss: {f}"))
    assert names(log) == [("loss", "train")] and values(log, "loss") == FALLING
    assert log.facts["lr"] == 0.0005 and log.facts["batch_size"] == 10


def test_prose_of_training_is_no_value(tmp_path: Path) -> None:
    text = many(
        "Epoch {i}/4 loss: {f}",
        "Epoch {i}: val_loss improved from 1.2 to 1.1, saving model to best_{i}.h5",
        "2024-03-06 19:56:18,640 The best checkpoint with 0.5 AP at {i} epoch is saved to epoch_{i}.pth",
        "  File \"train.py\", line 1{i}, in <module>",
        "End of epoch {i} / 200 \t Time Taken: 210 sec",
    )  # fmt: skip
    log = read_text(tmp_path, text)
    assert values(log, "loss") == FALLING and names(log) == [("Time Taken", "train"), ("loss", "train")]


def test_yolo_prints_a_table(tmp_path: Path) -> None:
    head = "      Epoch    GPU_mem   box_loss   dfl_loss  Instances       Size"
    bars = [
        f"      {{i}}/100   4.2G   {{f}}   1.53   30   640: {k}%|##   | {k}/4 [00:01<00:03]" for k in range(5)
    ]
    scores = "  Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|###| 2/2 [00:00<00:00]"
    log = read_text(
        tmp_path, many(head, "\r".join(bars), scores, "    all    128    929    0.64    0.5    0.6    0.{i}")
    )
    assert values(log, "box_loss", "train") == FALLING and log.total_epochs == 100
    assert values(log, "mAP50-95", "val") == [0.1, 0.2, 0.3, 0.4]
    assert series(log, "mAP50-95").epochs.tolist() == series(log, "box_loss").epochs.tolist() == [1, 2, 3, 4]


def test_a_table_below_other_text(tmp_path: Path) -> None:
    intro = "".join(f"downloading part {part}\n" for part in range(80))
    text = intro + "epoch     train_loss  valid_loss  time\n" + many("{i}         {f}    2.5    00:10")
    log = read_text(tmp_path, text)
    assert values(log, "train_loss") == FALLING and values(log, "valid_loss", "val") == [2.5] * 4


def test_lines_below_a_heading_of_testing_are_validation(tmp_path: Path) -> None:
    text = many("Epoch {i} step {i}0", "loss: {f}", "Start testing", "    loss: 0.75", "    Accuracy: 79.1")
    log = read_text(tmp_path, text)
    assert values(log, "loss", "train") == FALLING and values(log, "loss", "val") == [0.75] * 4
    assert series(log, "Accuracy").mode == "val"


def test_a_step_of_the_run_said_twice_is_still_that(tmp_path: Path) -> None:
    text = many(
        "epoch {i}, total step {i}00", "epoch {i}, step {i}50, loss, {f}", "epoch {i}, total step {i}99 done"
    )
    assert steps(read_text(tmp_path, text), "loss") == [150, 250, 350, 450]


def test_an_evaluation_stands_at_the_end_of_its_epoch(tmp_path: Path) -> None:
    """Also where the last line of training is a little before it; within an epoch it stays where it was."""
    train = "Epoch [{i}][2/5]\tloss: {f}\nEpoch [{i}][4/5]\tloss: {f}"
    assert steps(read_text(tmp_path, many(train, "Epoch(val) [{i}][9]\tAP: 0.5")), "AP") == [5, 10, 15, 20]
    within = many(
        "Epoch [{i}][2/9]\tloss: {f}", "Epoch(val) [{i}][9]\tAP: 0.5", "Epoch [{i}][4/9]\tloss: {f}"
    )
    assert steps(read_text(tmp_path, within), "AP") == [2, 11, 20, 29]


def test_two_runs_in_a_file(tmp_path: Path) -> None:
    one = "".join(f"Epoch [{e}][{i}/5]\tloss: 1.0\n" for e in range(1, 4) for i in range(1, 6))
    log = read_text(tmp_path, one + "Environment info:\n" + one)
    assert log.restarts == (17,) and len(values(log, "loss")) == 30


@pytest.mark.parametrize(
    "text",
    [
        "It was the best of times, it was the worst of times.\n" * 40 + "Chapter 3: loss of 12 ships\n",
        "# Training\nRun `train.py --lr=0.1`. You should see:\n    Epoch 3 loss 0.5\nGood luck.\n",
        "for epoch in range(10):\n    loss = 0.5\n    print(f'epoch {epoch} loss {loss}')\nx = {'loss': 1.0}\n",
        "lr = 0.1\nepochs = 10\nbatch_size = 3\n" * 4,
        "Killed\n",
    ],
)
def test_other_texts_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="no losses or scores in it"):
        read_text(tmp_path, text, "notes.md")


def test_a_nan_loss_keeps_its_place(tmp_path: Path) -> None:
    text = "".join(f"iter {i}: loss {'nan' if i == 3 else i}\n" for i in range(1, 6))
    loss = series(read_text(tmp_path, text), "loss")
    assert [math.isnan(value) for value in loss.values] == [False, False, True, False, False]
    assert loss.rows.tolist() == loss.steps.tolist() == [1, 2, 3, 4, 5]
