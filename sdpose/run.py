"""What happens around the loop of one run: log lines, alerts, checkpoints, evaluations, and how it may end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sdpose.assemble.machine import Machine
from sdpose.config.settings import Settings
from sdpose.data.loader import PoseBatch
from sdpose.data.problems import ProblemLog
from sdpose.errors import SdposeError
from sdpose.models import SDPose
from sdpose.monitor import Alert, AlertFile, Monitor, Record, RunFacts, alert_lines
from sdpose.training.checkpoint import Checkpoint, make_meta, model_state
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.distributed import World
from sdpose.training.environment import environment_text
from sdpose.training.log_format import TrainEntry, ValEntry
from sdpose.training.logs import RemainingTime, RunLog
from sdpose.training.machine_signs import machine_signs, rank_spread
from sdpose.training.optim import optimizer_state
from sdpose.training.probes import Interval, weighted_means
from sdpose.training.progress import Progress
from sdpose.training.random_state import random_state
from sdpose.training.signals import StopRequest
from sdpose.training.state import TrainingState

if TYPE_CHECKING:
    from sdpose.evaluate import Evaluator


class RunFailed(Exception):
    """The run cannot sensibly go on; what it had saved stays."""


class RunStopped(Exception):
    """The monitor was told to end the run on an alert; the state is saved."""


class _Console(Protocol):
    def training(self, iteration: int, total: int, epoch: int, total_epochs: int) -> None: ...


class Run:
    """The events of one run (`training.loop.LoopEvents`). All ranks have one; only the main one writes files."""

    def __init__(
        self,
        *,
        settings: Settings,
        model: SDPose,
        state: TrainingState,
        monitor: Monitor,
        store: CheckpointStore | None,
        evaluator: Evaluator | None,
        log: RunLog,
        console: _Console,
        world: World,
        machine: Machine,
        stop: StopRequest,
        work_dir: Path,
        seed: int,
        epoch_length: int,
        num_images: int,
    ) -> None:
        self.settings = settings
        self.model = model
        self.state = state
        self.monitor = monitor
        self.store = store
        self.evaluator = evaluator
        self.log = log
        self.console = console
        self.world = world
        self.machine = machine
        self.stop = stop
        self.work_dir = work_dir
        self.checkpoint_dir = Path(settings.checkpoint_config.out_dir or work_dir)
        self.seed = seed
        self.epoch_length = epoch_length
        self.pending_evaluation = False
        self.problems = ProblemLog(num_images, log.warning)
        self.alert_file = AlertFile(work_dir / "alerts.jsonl", log=log.warning) if world.is_main else None
        self._total = settings.total_epochs * epoch_length
        self.environment = environment_text()
        self.config_text = settings.python_text()
        self._remaining = RemainingTime(total_iterations=self._total)
        self._saved_at = time.monotonic()
        self._stop_for: str | None = None
        self._said: set[str] = set()

    # What the loop tells -----------------------------------------------------------------------------------------

    def start(self, progress: Progress, facts: RunFacts) -> None:
        """Before the first iteration of this process."""
        if self.world.is_main:
            self._write_config()
        self._remaining = RemainingTime(total_iterations=self._total, start_iteration=progress.iteration)
        self._say(self.monitor.start(facts))
        self._show(progress)
        if self.pending_evaluation and self.evaluator is not None:
            # The checkpoint was written before its epoch was evaluated.
            self._evaluate(progress)

    def batch_loaded(self, batch: PoseBatch) -> int:
        self.problems.add(batch.problems)
        return sum(problem is not None for problem in batch.problems)

    def interval_started(self, progress: Progress) -> None: ...

    def interval_finished(self, interval: Interval, progress: Progress, *, log: bool) -> bool:
        iterations = interval.iterations
        means = weighted_means(iterations)
        eta_s = self._remaining.update(progress.iteration, sum(entry.host.elapsed_s for entry in iterations))
        if log:
            elapsed_s, data_s = means.pop("time"), means.pop("data_time")
            self.log.train(
                TrainEntry(
                    epoch=progress.epoch + 1,
                    iteration=progress.batch,
                    epoch_length=self.epoch_length,
                    lr=iterations[-1].host.lr,
                    eta_s=eta_s,
                    time_s=elapsed_s,
                    data_time_s=data_s,
                    values=means,
                    memory_mib=self._memory_mib(),
                ),
                run_iteration=progress.iteration,
            )
        alerts = self.monitor.observe(self._records(interval, progress))
        self._say(alerts)
        self._obey(alerts)
        return False

    def iteration_finished(self, progress: Progress) -> bool:
        self._show(progress)
        if self.world.any_rank(self.stop.requested):
            path = self._save_iteration(progress)
            name = self.stop.signal.name if self.stop.signal else "a signal to another process"
            self.log.warning(
                f"stopped by {name}; everything is saved: go on with --resume-from {path or 'auto'}"
            )
            return True
        if self._stop_for is not None:
            self._save_iteration(progress)
            raise RunStopped(self._stop_for)
        rescue_s = self.settings.runtime.rescue_minutes * 60
        overdue = self.world.is_main and 0 < rescue_s < time.monotonic() - self._saved_at
        if self.world.any_rank(overdue):
            self._save_iteration(progress)
        return False

    def epoch_finished(self, progress: Progress) -> None:
        interval, first = self.settings.evaluation.interval, self.settings.evaluation.start
        if first is None:
            due = progress.epoch % interval == 0
        else:
            due = progress.epoch >= first and (progress.epoch - first) % interval == 0
        self.pending_evaluation = due and self.evaluator is not None
        is_due = self.store.is_due(progress.epoch) if self.store else False
        if self.world.any_rank(is_due):
            checkpoint = self._checkpoint(progress)
            if self.store is not None:
                self.log.info(f"Saving checkpoint at {progress.epoch} epochs")
                self.store.save_epoch(checkpoint)
            self._saved_at = time.monotonic()
        if self.pending_evaluation:
            self._evaluate(progress)

    def finish(self, reason: str) -> None:
        """However the run ended: statistics, and a last line."""
        self._say(self.monitor.finish(reason))
        best = ""
        if self.store is not None and self.store.best_score is not None:
            metric = self.settings.evaluation.best_metric
            name = self.store.best_path.name if self.store.best_path else "no file"
            best = f"; best {metric} {self.store.best_score:.4f} in {name}"
        self.log.info(f"run {reason}{best}; statistics in training_stats.txt")

    # Records and alerts ------------------------------------------------------------------------------------------

    def _records(self, interval: Interval, progress: Progress) -> list[Record]:
        now = time.time()
        last = interval.iterations[-1]
        return [
            Record(
                mode="train",
                epoch=progress.epoch + 1,
                iteration=entry.host.iteration,
                epoch_iteration=entry.host.batch,
                epoch_length=self.epoch_length,
                values={
                    **entry.logged,
                    **entry.probed,
                    "lr": entry.host.lr,
                    "lr_expected": entry.host.lr_expected,
                    "time": entry.host.elapsed_s,
                    "data_time": entry.host.data_s,
                    **(self._values_at_end(interval) if entry is last else {}),
                },
                time=now,
                details={"loss_per_rank": list(interval.loss_per_rank)}
                if entry is last and self.world.size > 1
                else {},
            )
            for entry in interval.iterations
        ]

    def _values_at_end(self, interval: Interval) -> dict[str, float]:
        """What is measured once an interval."""
        values = {**interval.at_end, **machine_signs(self.checkpoint_dir)}
        if self.machine.device.type == "cuda":
            values["memory"] = torch.cuda.max_memory_allocated(self.machine.device) / 2**20
        if self.world.size > 1:
            values["rank_spread"] = rank_spread(interval.loss_per_rank)
        num_unusable = sum(entry.host.num_unusable for entry in interval.iterations)
        if num_unusable:
            values["samples_skipped"] = num_unusable
        return values

    def _say(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            say = self.log.error if alert.severity == "critical" else self.log.warning
            for line in alert_lines(alert) if alert.severity != "info" else ():
                say(line)
        if self.alert_file is not None:
            self.alert_file.write(alerts)

    def _obey(self, alerts: Sequence[Alert]) -> None:
        """What `monitor = dict(...)` says should follow from an alert."""
        for alert in alerts:
            if alert.kind == "non_finite" and self.settings.monitor.on_non_finite_loss == "stop":
                raise RunFailed(
                    f"stopped at iteration {alert.iteration}: {alert.metric} is {alert.value}; {self._way_back()}"
                )
            if (
                alert.severity != "info"
                and self.settings.monitor.on_alert == "stop"
                and self._stop_for is None
            ):
                self._stop_for = f"alert {alert.kind} (monitor.on_alert is 'stop')"

    def _way_back(self) -> str:
        if self.store is not None and any(self.store.work_dir.glob("*.pth")):
            return "the saved checkpoints are from before: mend the cause, then --resume-from auto"
        return "no checkpoint was saved yet: mend the cause and start again"

    # Checkpoints -------------------------------------------------------------------------------------------------

    def _save_iteration(self, progress: Progress) -> Path | None:
        checkpoint = self._checkpoint(progress)
        path = self.store.save_iteration(checkpoint) if self.store is not None else None
        self._saved_at = time.monotonic()
        return path

    def _checkpoint(self, progress: Progress) -> Checkpoint:
        """Everything an exact resume needs. All ranks must call it: each adds what only it knows."""
        broken = [
            name
            for name, tensor in self.state.model.state_dict().items()
            if not bool(torch.isfinite(tensor).all())
        ]
        if broken:
            raise RunFailed(
                f"weights are not finite ({broken[0]} and {len(broken) - 1} more), so they are not saved"
            )
        own: dict[str, Any] = {
            "window": self.state.window.state_dict(),
            "random_state": random_state(self.machine.device),
        }
        ranks = self.world.gather_objects(own)
        resume = {
            "batch": progress.batch,
            "epoch_length": self.epoch_length,
            "world_size": self.world.size,
            "pending_evaluation": self.pending_evaluation and progress.batch == 0,
            "windows": [rank["window"] for rank in ranks],
            "random_states": [rank["random_state"] for rank in ranks],
            "monitor": self.monitor.state_dict(),
        }
        return Checkpoint(
            meta=make_meta(
                epoch=progress.epoch,
                iteration=progress.iteration,
                seed=self.seed,
                env_info=self.environment,
                config_text=self.config_text,
                hook_msgs=self.store.hook_msgs() if self.store else {},
            ),
            state_dict=model_state(self.state.model),
            optimizer=optimizer_state(self.state.optimizer),
            resume=resume,
        )

    # Evaluation --------------------------------------------------------------------------------------------------

    def _evaluate(self, progress: Progress) -> None:
        assert self.evaluator is not None
        outcome = self.evaluator.run(self.model, progress.epoch)
        self.pending_evaluation = False
        metrics, noise, details = self.world.broadcast_object(
            (outcome.metrics, outcome.noise, outcome.details)
        )
        for line in outcome.notes:
            if line not in self._said:
                self._said.add(line)
                self.log.warning(line)
        lr = self.state.optimizer.param_groups[0]["lr"]
        record = Record(
            mode="val",
            epoch=progress.epoch,
            iteration=progress.iteration,
            epoch_iteration=self.epoch_length,
            epoch_length=self.epoch_length,
            values={**metrics, **noise, "lr": lr},
            time=time.time(),
            details=details,
        )
        # Before the best checkpoint is written, whose monitor state must know of this evaluation.
        alerts = self.monitor.observe([record])
        self._keep_best(metrics, progress)
        self.log.val(
            ValEntry(
                epoch=progress.epoch, num_batches=outcome.num_batches, lr=lr, values=metrics, noise=noise
            ),
            run_iteration=progress.iteration,
        )
        self._say(alerts)
        self._obey(alerts)

    def _keep_best(self, metrics: Mapping[str, float], progress: Progress) -> None:
        metric = self.settings.evaluation.best_metric
        score = metrics.get(metric) if metric else None
        is_best = self.store is not None and score is not None and self.store.is_better(score)
        if self.world.any_rank(is_best):
            checkpoint = self._checkpoint(progress)
            if self.store is not None and score is not None and metric is not None:
                path = self.store.save_best(checkpoint, score, metric=metric)
                self.log.info(f"Now best checkpoint is saved as {path.name}.")
                self.log.info(f"Best {metric} is {score:.4f} at {progress.epoch} epoch.")

    # Small things ------------------------------------------------------------------------------------------------

    def _show(self, progress: Progress) -> None:
        epoch = min(progress.epoch + 1, self.settings.total_epochs)
        self.console.training(progress.iteration, self._total, epoch, self.settings.total_epochs)

    def _memory_mib(self) -> int | None:
        if self.machine.device.type != "cuda":
            return None
        return int(torch.cuda.max_memory_allocated(self.machine.device) / 2**20)

    def _write_config(self) -> None:
        """The resolved config beside the logs, as a file that can be trained again."""
        path = self.work_dir / Path(self.settings.path).name
        if path.resolve() == Path(self.settings.path).resolve():
            return
        try:
            path.write_text(self.config_text, encoding="utf-8")
        except OSError as error:
            raise SdposeError(f"cannot write {path}: {error.strerror}; choose another --work-dir") from error
