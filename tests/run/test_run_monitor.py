"""What the monitor sees in trainings that really go wrong."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import json_log, log_text, plain

import sdpose.evaluate
from sdpose.cli.main import main
from sdpose.config.run_settings import ALERT_KINDS, REPAIRABLE_KINDS
from sdpose.evaluation.coco_ap import Scores
from sdpose.monitor.advice import KINDS
from sdpose.run import Run
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.recovery import REPAIRABLE


def train(config: Path, *options: str) -> int:
    return main(["train", str(config), "--seed", "1", "--cfg-options", *options])


def alerts(work_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work_dir / "alerts.jsonl").read_text().splitlines()]


# Six iterations of almost nothing, then a learning rate that no model survives for long.
SPIKE = [
    "optimizer.lr=3.0",
    "lr_config.warmup='constant'",
    "lr_config.warmup_iters=6",
    "lr_config.warmup_ratio=1e-9",
]
SPIKE_TEXT = r"""⚠️  WARNING: Loss spike detected!
   Current: (\S+)
   Recent avg: (\S+)
   Ratio: (\d+\.\d\d|\d\.\d{3}e\+\d+)x
"""


@pytest.mark.parametrize(("locale", "word"), [("C.UTF-8", "learning rate"), ("ko_KR.UTF-8", "확인")])
def test_a_spike_is_told_in_the_guides_words(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str, word: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    train(config, *SPIKE)
    log = plain(log_text(tmp_path / "work"))
    found = re.search(SPIKE_TEXT, log)
    assert found, log
    current, average, ratio = map(float, found.groups())
    assert ratio == pytest.approx(current / average, rel=0.01)
    assert word in log[found.end() :]
    first = alerts(tmp_path / "work")[0]
    assert (first["kind"], first["severity"], first["metric"]) == ("loss_spike", "warning", "loss")
    # At iteration 7 the first large step is made; 8 is the first that can suffer from it.
    assert first["iteration"] == 8
    assert first["value"] == pytest.approx(current, rel=1e-3)
    assert word in json.dumps(first, ensure_ascii=False)


@pytest.fixture
def falling_ap(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AP of 0.72 after epoch 1, 0.65 after epoch 2 and 0.73 later: this model is too small to have any."""
    values = iter([0.72, 0.65, 0.73])
    monkeypatch.setattr(sdpose.evaluate, "score_results", lambda *_: Scores({"AP": next(values), "AR": 0.5}))


@pytest.mark.usefixtures("falling_ap")
def test_a_drop_of_ap_is_told_in_the_guides_words(config: Path, tmp_path: Path) -> None:
    assert train(config, "optimizer.lr=1e-3") == 0
    work_dir = tmp_path / "work"
    expected = (
        "⚠️  WARNING: Performance drop detected!\n   Current AP: 0.650\n   Best AP: 0.720\n   Drop: 0.070\n"
    )
    assert expected in plain(log_text(work_dir))
    (alert,) = alerts(work_dir)
    assert (alert["kind"], alert["epoch"], alert["iteration"]) == ("performance_drop", 2, 8)
    assert [path.name for path in work_dir.glob("best_*")] == ["best_AP_epoch_1.pth"]
    assert (work_dir / "training_stats.txt").read_text().endswith("Best AP: 0.7200\n")


@pytest.mark.usefixtures("falling_ap")
def test_stop_on_alert_ends_the_run_with_its_state_saved(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["monitor.on_alert=stop", "total_epochs=3"]
    assert train(config, *options) == 1
    assert "stopped: alert performance_drop (monitor.on_alert is 'stop')" in capsys.readouterr().out
    last = load_checkpoint(tmp_path / "work" / "latest.pth")
    # Heard of in the evaluation after epoch 2, obeyed there.
    assert (last.epoch, last.iteration) == (2, 8)
    assert train(config, *options, "resume_from=auto") == 0, "the same alert does not stop it again"
    assert "resumed epoch 2, iter 8" in log_text(tmp_path / "work")


@pytest.mark.parametrize(
    ("policy", "code", "last"),
    [("stop", 1, "failed: stopped at iteration 2"), ("warn", 1, "so they are not saved")],
)
def test_nan_ends_a_run_before_it_is_saved(
    config: Path, tmp_path: Path, policy: str, code: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["optimizer.lr=1e30", "lr_config.warmup=None", f"monitor.on_non_finite_loss={policy}"]
    assert train(config, *options) == code
    work_dir = tmp_path / "work"
    assert last in capsys.readouterr().out
    assert list(work_dir.glob("*.pth")) == []
    first = alerts(work_dir)[0]
    assert (first["kind"], first["severity"], first["iteration"]) == ("non_finite", "critical", 2)
    assert "⚠️  WARNING: NaN or Inf detected!\n   Iteration: 2 (epoch 1)\n" in plain(log_text(work_dir))
    assert re.search(r"loss: (NaN|Inf)", log_text(work_dir))
    assert len(json_log(work_dir)) >= 2, "the JSON log stays readable"


def test_the_language_is_the_command_lines(config: Path, tmp_path: Path) -> None:
    words = ["train", str(config), "--seed", "1", "--lang", "ko", "--cfg-options", *SPIKE]
    main(words)
    (first, *_) = alerts(tmp_path / "work")
    assert first["language"] == "ko"
    assert re.search("[가-힣]", log_text(tmp_path / "work"))


def test_kinds_of_alerts_in_settings_are_those_of_the_monitor() -> None:
    """Two lists, since settings import nothing of the monitor."""
    said_of_repairs = {"recovery", "recovery_failed"}
    assert set(ALERT_KINDS) == KINDS.keys() - said_of_repairs | {"hook_failed"}
    assert REPAIRABLE_KINDS == REPAIRABLE


@pytest.fixture
def mailbox() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An apprise URL, and what arrived there."""
    arrived: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"json://me:secret@127.0.0.1:{server.server_address[1]}", arrived
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_name", [False, True], ids=["address", "variable"])
def test_alerts_are_sent_and_addresses_are_nowhere_to_be_read(
    config: Path,
    tmp_path: Path,
    mailbox: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    by_name: bool,
) -> None:
    pytest.importorskip("apprise", reason="apprise is not installed: pip install 'sdpose[notify]'")
    address, arrived = mailbox
    monkeypatch.setenv("MAILBOX", address)
    target = "$MAILBOX" if by_name else address
    config.write_text(config.read_text() + f"monitor = dict(notify=[{target!r}])\n")
    assert train(config, *SPIKE) in (0, 1)
    assert arrived[0]["title"].startswith("work: loss_spike (warning), iteration ")
    for path in (tmp_path / "work").iterdir():
        if path.is_file():
            assert b"secret" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("$NOBODY", r"monitor.notify names $NOBODY, which is not set; set it to an apprise URL"),
        ("nonsense", "monitor.notify: notify target 1 of 1 (without ://) is no address"),
    ],
)
def test_a_wrong_address_is_told_before_anything_begins(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, error: str
) -> None:
    pytest.importorskip("apprise", reason="apprise is not installed: pip install 'sdpose[notify]'")
    config.write_text(config.read_text() + f"monitor = dict(notify=[{target!r}])\n")
    assert train(config, "total_epochs=1") == 2
    assert error in capsys.readouterr().err
    assert not list((tmp_path / "work").glob("*.log"))


OWN = '''\
import torch
from sdpose import Hook

class BoneLoss(torch.nn.Module):
    """Ties shoulders together."""

    def __init__(self, loss_weight):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, cycles, target, target_weight):
        heatmaps = cycles[0].heatmaps
        return self.loss_weight * (heatmaps[:, 5] - heatmaps[:, 6]).square().mean()


class Counter(Hook):
    """Counts iterations, and goes on counting after a resume."""

    def __init__(self, greeting):
        super().__init__()
        self.greeting, self.count = greeting, 0

    def on_iterations(self, records):
        self.count += len(records)
        return ()

    def on_run_end(self, reason):
        self.log(f"{self.greeting}: {self.count} iterations, {reason}")

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]
'''


def test_own_loss_and_hook_take_part_and_survive_a_resume(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    config.write_text(
        config.read_text()
        .replace(
            "custom_hooks = [",
            "custom_imports = dict(imports=['own.py'])\ncustom_hooks = [\n"
            "    dict(type='Counter', greeting='hello'),",
        )
        .replace(
            "        loss_vis_token_dist",
            "        loss_bone=dict(type='BoneLoss', loss_weight=0.5),\n        loss_vis_token_dist",
        )
    )
    work_dir = tmp_path / "work"
    assert train(config, "total_epochs=1") == 0
    assert f"custom_imports: running the user's code in {tmp_path / 'own.py'}" in capsys.readouterr().out
    assert train(config, "total_epochs=2", "resume_from=auto") == 0
    assert "hello: 8 iterations, finished" in log_text(work_dir)
    for entry in json_log(work_dir):
        if entry["mode"] == "train":
            parts = ("heatmap_loss", "loss_bone", "vis_dist_loss", "kpt_dist_loss")
            assert entry["loss_bone"] > 0
            assert entry["loss"] == pytest.approx(sum(entry[name] for name in parts), rel=1e-3)


def test_every_iteration_reaches_the_hooks_whatever_the_log_interval(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = Run._observe

    def noted(self: Run, records: Any) -> Any:
        seen.extend(record.iteration for record in records if record.mode == "train")
        return original(self, records)

    monkeypatch.setattr(Run, "_observe", noted)
    assert train(config, "log_config.interval=3") == 0
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
