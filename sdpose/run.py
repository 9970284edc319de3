"""What happens around the loop of one run: log lines, alerts, checkpoints, evaluations, and how it may end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from sdpose.assemble.machine import Machine
from sdpose.assemble.notify import without_addresses
from sdpose.assemble.repairs import build_good_states, build_recovery, repair_rules
from sdpose.config.run_settings import Reaction
from sdpose.config.settings import Settings
from sdpose.data.loader import PoseBatch
from sdpose.data.problems import ProblemLog
from sdpose.errors import SdposeError
from sdpose.models import SDPose
from sdpose.monitor import Alert, AlertFile, Monitor, Record, RunFacts, alert_lines
from sdpose.monitor.advice.score import SHORT_PEOPLE
from sdpose.training.checkpoint import Checkpoint, make_meta
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.distributed import World
from sdpose.training.energy import Counters, EnergyMeter
from sdpose.training.environment import environment_text
from sdpose.training.log_format import TrainEntry, ValEntry
from sdpose.training.logs import RemainingTime, RunLog
from sdpose.training.machine_signs import machine_signs
from sdpose.training.probes import Interval, probed_means, weighted_means
from sdpose.training.progress import Progress
from sdpose.training.records import train_records
from sdpose.training.repair_shop import RepairShop
from sdpose.training.scalar_loggers import Ending
from sdpose.training.signals import StopRequest
from sdpose.training.state import StoredState, TrainingState
from sdpose.training.vital_signs import floating_tensors, num_broken

if TYPE_CHECKING:
    from sdpose.evaluate import Evaluator
    from sdpose.monitor.notify import Notifier


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
        meter: EnergyMeter | None = None,
        notifier: Notifier | None = None,
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
        self.meter = meter or EnergyMeter(Counters())
        self.notifier = notifier
        self.num_images = num_images
        self.problems = ProblemLog(num_images, log.warning)
        self.alert_file = AlertFile(work_dir / "alerts.jsonl", log=log.warning) if world.is_main else None
        self._total = settings.total_epochs * epoch_length
        self.environment = environment_text(**{"Energy counters": self.meter.text})
        self.config_text = without_addresses(settings.python_text(), settings)
        self._remaining = RemainingTime(total_iterations=self._total)
        self._saved_at = time.monotonic()
        self._stop_for: str | None = None
        self._said: set[str] = set()
        self._last_ap: float | None = None
        self.shop = self._repair_shop()

    # What the loop tells -----------------------------------------------------------------------------------------

    def start(self, progress: Progress, facts: RunFacts) -> None:
        """Before the first iteration of this process."""
        if self.world.is_main:
            self._write_config()
        self._remaining = RemainingTime(total_iterations=self._total, start_iteration=progress.iteration)
        self.shop.facts = facts
        self._say(self.monitor.start(facts))
        self._show(progress)
        self._evaluate_if_pending(progress)

    def batch_loaded(self, batch: PoseBatch) -> int:
        self.problems.add(batch.problems)
        return sum(problem is not None for problem in batch.problems)

    def interval_started(self, progress: Progress) -> None:
        self.shop.interval_started()

    def interval_finished(self, interval: Interval, progress: Progress, *, log: bool) -> bool:
        iterations = interval.iterations
        means = weighted_means(iterations)
        eta_s = self._remaining.update(progress.iteration, sum(entry.host.elapsed_s for entry in iterations))
        energy = self.meter.update(sum(entry.host.num_samples for entry in iterations))
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
                    signs={**probed_means(iterations), **energy},
                ),
                run_iteration=progress.iteration,
            )
        alerts = self._observe(
            train_records(
                interval,
                progress,
                epoch_length=self.epoch_length,
                machine={**self._machine_signs(), **energy},
            )
        )
        self._say(alerts)
        self.shop.interval_finished(interval, alerts)
        self.shop.keep_incident(alerts, "train")
        outcome = self.shop.treat(interval, alerts)
        if outcome == "lost":
            self._set_aside_later(progress)
            path = self._save_iteration()
            raise RunFailed(
                f"beyond repair; the last good state is saved: mend the cause, then go on with {shlex.quote(str(path))}"
            )
        if outcome == "put back":
            self._went_back(progress)
            return True
        self._obey(alerts)
        return False

    def iteration_finished(self, progress: Progress) -> bool:
        self._show(progress)
        self.meter.tick()
        if self.world.any_rank(self.stop.requested):
            path = self._save_iteration()
            self.log.warning(
                f"stopped by {self.stop.name}; everything is saved: go on with --resume-from "
                f"{shlex.quote(str(path or 'auto'))}"
            )
            return True
        self._stop_if_told()
        rescue_s = self.settings.runtime.rescue_minutes * 60
        overdue = self.world.is_main and 0 < rescue_s < time.monotonic() - self._saved_at
        # Weights that broke just now are the business of the interval's end.
        if self.world.any_rank(overdue) and not (self.shop.weights_are_good and self._broken_tensors()):
            self._save_live()
        return False

    def epoch_finished(self, progress: Progress) -> None:
        interval, first = self.settings.evaluation.interval, self.settings.evaluation.start
        if first is None:
            due = progress.epoch % interval == 0
        else:
            due = progress.epoch >= first and (progress.epoch - first) % interval == 0
        self.state.pending_evaluation = due and self.evaluator is not None
        is_due = self.store.is_due(progress.epoch) if self.store else False
        if self.world.any_rank(is_due):
            checkpoint = self._checkpoint()
            if self.store is not None:
                self.log.info(f"Saving checkpoint at {progress.epoch} epochs")
                self.store.save_epoch(checkpoint)
            self._saved_at = time.monotonic()
        # Alerts of the epoch's last iterations.
        self._stop_if_told()
        self._evaluate_if_pending(progress)

    def finish(self, reason: str) -> None:
        """However the run ended: statistics, and a last line."""
        endings: Mapping[str, Ending] = {"finished": "finished", "interrupted": "interrupted"}
        self.log.ending = endings.get(reason, "failed")
        self._say(self.monitor.finish(reason))
        if self.notifier is not None:
            self.notifier.close()
        if reason == "finished" and self._last_ap is not None and self._last_ap < 1e-4:
            self.log.warning(_learnt_nothing(self._people_seen()))
        best = ""
        if self.store is not None and self.store.best_score is not None:
            metric = self.settings.evaluation.best_metric
            file = self.store.best_path.name if self.store.best_path else self.store.best_elsewhere
            where = f"in {file}" if file else "from before, its file is not here"
            best = f"; best {metric} {self.store.best_score:.4f} {where}"
        self.log.info(f"run {reason}{best}; statistics in training_stats.txt")

    # Records and alerts ------------------------------------------------------------------------------------------

    def _observe(self, records: Sequence[Record]) -> tuple[Alert, ...]:
        """What the hooks of the main process say; all must act alike, and times and memory are each one's own."""
        alerts: tuple[Alert, ...] = self.world.broadcast_object(self.monitor.observe(records))
        return alerts

    def _say(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            say = self.log.error if alert.severity == "critical" else self.log.warning
            for line in alert_lines(alert) if alert.severity != "info" else ():
                say(line)
            self.log.alert(alert)
        if self.alert_file is not None:
            self.alert_file.write(alerts)
        if self.notifier is not None:
            self.notifier.send(alerts)

    def _obey(self, alerts: Sequence[Alert]) -> None:
        """What `monitor = dict(...)` says should follow from an alert, repairs aside."""
        for alert in alerts:
            reaction = self.settings.monitor.reaction(alert.kind)
            if alert.kind == "non_finite" and (reaction == "stop" or self._would_have_repaired(reaction)):
                raise RunFailed(
                    f"stopped at iteration {alert.iteration}: {alert.metric} is {alert.value}; {self._way_back()}"
                )
            if alert.severity != "info" and reaction == "stop" and self._stop_for is None:
                self._stop_for = f"alert {alert.kind} (monitor.on_alert is 'stop')"

    def _would_have_repaired(self, reaction: Reaction) -> bool:
        """A dry run does what would be done without recovery."""
        monitor = self.settings.monitor
        return reaction == "recover" and monitor.dry_run and monitor.on_non_finite_loss != "warn"

    def _stop_if_told(self) -> None:
        if self._stop_for is not None:
            self._save_iteration()
            raise RunStopped(self._stop_for)

    def _way_back(self) -> str:
        if self.store is not None and self.store.files():
            return "the saved checkpoints are from before: mend the cause, then --resume-from auto"
        return "no checkpoint was saved yet: mend the cause and start again"

    # Repairs -----------------------------------------------------------------------------------------------------

    def _repair_shop(self) -> RepairShop:
        return RepairShop(
            state=self.state,
            monitor=self.monitor,
            recovery=build_recovery(self.settings),
            good=build_good_states(self.settings, self.state),
            rules=repair_rules(self.settings, self.epoch_length),
            world=self.world,
            log=self.log,
            work_dir=self.work_dir,
            store=self.store,
            checkpoint_of=self._checkpoint_of,
            say=self._say,
            config_name=Path(self.settings.path).name,
        )

    def _went_back(self, progress: Progress) -> None:
        """The repair is saved at once: a run that is killed now goes on with it."""
        self._set_aside_later(progress)
        self._stop_for = None
        self._save_live()
        self._show(progress)
        self._evaluate_if_pending(progress)

    def _set_aside_later(self, progress: Progress) -> None:
        folder = self.store.set_aside_after(progress.iteration) if self.store is not None else None
        if folder is not None:
            self.log.warning(
                f"checkpoints of what came after iteration {progress.iteration} are now in {folder.name}/"
            )

    # Checkpoints -------------------------------------------------------------------------------------------------

    def _save_live(self) -> Path | None:
        """`iter_N.pth` of the state as it is."""
        return self._write_iteration(self._checkpoint())

    def _save_iteration(self) -> Path | None:
        """The same, but where the weights have just broken, of the last good state."""
        good = self.shop.good.newest() if self.shop.good is not None else None
        if good is None or not self._broken_tensors():
            return self._write_iteration(self._checkpoint())
        self.log.warning(
            f"the weights are broken; the state of iteration {good.iteration} is saved in their place"
        )
        return self._write_iteration(self._checkpoint_of(good.stored()))

    def _write_iteration(self, checkpoint: Checkpoint) -> Path | None:
        path = self.store.save_iteration(checkpoint) if self.store is not None else None
        self._saved_at = time.monotonic()
        return path

    def _broken_tensors(self) -> int:
        """How many tensors of weights and moments hold a value that is not finite, on any process."""
        broken = int(num_broken(floating_tensors(self.model, self.state.optimizer)))
        return max(self.world.gather_objects(broken))

    def _checkpoint(self) -> Checkpoint:
        """Everything an exact resume needs. All ranks must call it: each adds what only it knows."""
        broken = self._broken_tensors()
        if broken:
            raise RunFailed(
                f"weights are not finite ({broken} tensors with their moments), so they are not saved"
            )
        return self._checkpoint_of(self.state.store(self.monitor.state_dict()))

    def _checkpoint_of(self, stored: StoredState) -> Checkpoint:
        progress = stored.progress
        self.meter.update(0)
        ranks = self.world.gather_objects((stored.window, stored.random))
        resume = {
            "batch": progress.batch,
            "epoch_length": self.epoch_length,
            "num_images": self.num_images,
            "world_size": self.world.size,
            "pending_evaluation": stored.pending_evaluation and progress.batch == 0,
            "windows": [window for window, _ in ranks],
            "random_states": [random for _, random in ranks],
            "monitor": stored.monitor,
            "recovery": self.shop.recovery.state_dict(),
            "energy": self.meter.state_dict(),
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
            state_dict=stored.model,
            optimizer=stored.optimizer,
            resume=resume,
        )

    # Evaluation --------------------------------------------------------------------------------------------------

    def _evaluate_if_pending(self, progress: Progress) -> None:
        """After an epoch, or when a checkpoint was written before its epoch was evaluated."""
        if self.state.pending_evaluation and self.evaluator is not None:
            self._evaluate(progress)
            self._stop_if_told()

    def _evaluate(self, progress: Progress) -> None:
        assert self.evaluator is not None
        outcome = self.evaluator.run(self.model, progress.epoch)
        self.state.pending_evaluation = False
        metrics, noise, details = self.world.broadcast_object(
            (outcome.metrics, outcome.noise, outcome.details)
        )
        self._last_ap = metrics.get("AP")
        # Before the log tells of the evaluation: who sees the line may look at the picture.
        no_picture = self.evaluator.draw(outcome, progress.epoch)
        for line in (*outcome.notes, *([no_picture] if no_picture else [])):
            if line not in self._said:
                self._said.add(line)
                self.log.warning(line)
        lr = self.state.optimizer.param_groups[0]["lr"]
        energy = self.meter.update(0)
        record = Record(
            mode="val",
            epoch=progress.epoch,
            iteration=progress.iteration,
            epoch_iteration=self.epoch_length,
            epoch_length=self.epoch_length,
            values={**metrics, **noise, **energy, "lr": lr},
            time=time.time(),
            details=details,
        )
        # Before the best checkpoint is written, whose monitor state must know of this evaluation.
        alerts = self._observe([record])
        self._keep_best(metrics, progress)
        self.log.val(
            ValEntry(
                epoch=progress.epoch,
                num_batches=outcome.num_batches,
                lr=lr,
                values=metrics,
                signs={**noise, **energy},
            ),
            run_iteration=progress.iteration,
        )
        self._say(alerts)
        self.shop.keep_incident(alerts, "val")
        self._obey(alerts)

    def _keep_best(self, metrics: Mapping[str, float], progress: Progress) -> None:
        metric = self.settings.evaluation.best_metric
        score = metrics.get(metric) if metric else None
        is_best = self.store is not None and score is not None and self.store.is_better(score)
        if self.world.any_rank(is_best):
            checkpoint = self._checkpoint()
            if self.store is not None and score is not None and metric is not None:
                path = self.store.save_best(checkpoint, score, metric=metric)
                self.log.info(f"Now best checkpoint is saved as {path.name}.")
                self.log.info(f"Best {metric} is {score:.4f} at {progress.epoch} epoch.")

    # Small things ------------------------------------------------------------------------------------------------

    def _show(self, progress: Progress) -> None:
        epoch = min(progress.epoch + 1, self.settings.total_epochs)
        self.console.training(progress.iteration, self._total, epoch, self.settings.total_epochs)

    def _machine_signs(self) -> dict[str, float]:
        if not self.world.is_main:
            # Nobody reads them, and the folder of the checkpoints may be on another machine.
            return {}
        memory_mib = self._memory_mib()
        device = {"memory": float(memory_mib)} if memory_mib is not None else {}
        return {**machine_signs(self.checkpoint_dir), **device}

    def _people_seen(self) -> int:
        batch_size = self.settings.data.train_samples_per_gpu * self.world.size
        return self.state.progress.iteration * batch_size

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


def _learnt_nothing(num_people: int) -> str:
    """What is said of a run that ends at AP 0; no alert, for a short try from random weights must end like this."""
    begins = "AP is 0.0000 at the end: "
    if num_people >= SHORT_PEOPLE:
        return f"{begins}{num_people:,} people were seen and nothing learnt; sdpose explain --chain looks for the fault"
    return (
        f"{begins}{num_people:,} people were seen, and from random weights nothing shows before some "
        f"{SHORT_PEOPLE:,} (docs/plateau.md): train longer; had it begun with trained weights, they are lost"
    )
