"""What is done about alerts: the state before a fault is kept, the run is put back and trained on differently.

Every process has one and all do the same: they see the main process's alerts and losses that are means over all of
them. Only the main one writes files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sdpose.errors import SdposeError
from sdpose.monitor import Alert, Monitor, RunFacts
from sdpose.monitor.strict_json import dumps
from sdpose.training.atomic_file import StorageError, storage_error
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, load_header
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.disk_space import require_room_for_file
from sdpose.training.distributed import World
from sdpose.training.good_states import GoodStates
from sdpose.training.incident import FACTS_FILE, Incident, incident_folder, write_incident
from sdpose.training.incident import FOLDER as INCIDENTS
from sdpose.training.probes import Interval
from sdpose.training.recovery import REPAIRABLE, Recovery
from sdpose.training.repair import Decision, Fault, Repair, Seen
from sdpose.training.repair_alerts import helped_alert, lost_alert, repair_alert
from sdpose.training.state import StoredState, TrainingState

REPAIRS = "repairs.jsonl"
Outcome = Literal["nothing", "put back", "lost"]


class Log(Protocol):
    """Where lines go."""

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RepairRules:
    """What may be done, and the lengths it needs to know."""

    recovers: Callable[[str], bool]
    """Whether a kind of alert is to be repaired."""
    dry_run: bool = False
    epoch_length: int = 0
    cumulative_iters: int = 1


@dataclass
class RepairShop:
    """Keeps good states and incidents, and makes repairs. `good` None: no copies of the state are kept."""

    state: TrainingState
    monitor: Monitor
    recovery: Recovery
    good: GoodStates | None
    rules: RepairRules
    world: World
    log: Log
    work_dir: Path
    store: CheckpointStore | None
    checkpoint_of: Callable[[StoredState], Checkpoint]
    """All processes must call it."""
    say: Callable[[Sequence[Alert]], None]
    config_name: str = ""
    facts: RunFacts = field(default_factory=RunFacts)
    _weights_are_good: bool = True
    _last_noise: int = 0

    def begin(self, aside: Path | None) -> None:
        """A run starts anew: what an earlier one left in the work dir goes where its checkpoints went."""
        if not self.world.is_main:
            return
        for name in (INCIDENTS, REPAIRS):
            path = self.work_dir / name
            if path.exists():
                stamp = time.strftime("previous_%Y%m%d_%H%M%S", time.localtime(path.stat().st_mtime))
                folder = aside or self.work_dir / stamp
                try:
                    folder.mkdir(exist_ok=True)
                    path.replace(folder / name)
                except OSError as error:
                    raise storage_error(folder / name, error) from error

    def resume(self, saved: Mapping[str, Any] | None, *, same_settings: bool) -> None:
        """Repairs of an earlier part of the run go on to hold. `saved` None: it knew of none."""
        if saved is not None:
            self.recovery.load_state_dict(saved)
        if not same_settings:
            self.recovery.settings_since = self.state.progress.iteration
        self.state.treatment = treatment = self.recovery.treatment
        self._keep_what_the_test_needs()
        words = [measure.in_words() for measure in treatment.measures]
        if words:
            self.log.warning(
                f"repairs of before still hold: {'; '.join(words)}; --load-from starts without them"
            )

    # Good states -------------------------------------------------------------------------------------------------

    def interval_started(self) -> None:
        """The state is copied as one to go back to, unless it is known to be broken."""
        if self.good is None or not self._weights_are_good:
            return
        now = self.state.progress.iteration
        quiet_for = now - self._last_noise
        self.good.keep(self.monitor.state_dict(), quiet=quiet_for >= self.recovery.check_iterations)

    def interval_finished(self, interval: Interval, alerts: Sequence[Alert]) -> None:
        """Notes whether the state is still good."""
        self._weights_are_good = interval.at_end.get("weights_broken", 0.0) == 0.0
        if any(alert.kind in REPAIRABLE for alert in alerts):
            self._last_noise = self.state.progress.iteration

    @property
    def weights_are_good(self) -> bool:
        """As far as the last interval told."""
        return self._weights_are_good

    # Incidents ---------------------------------------------------------------------------------------------------

    def keep_incident(self, alerts: Sequence[Alert], mode: Literal["train", "val"]) -> None:
        """Keep the state before the first critical alert, so that it can be played again.

        Of an evaluation it is the state that was evaluated. All processes must call it.
        """
        critical = [alert for alert in alerts if alert.severity == "critical"]
        if not critical:
            return
        first = min(critical, key=lambda alert: alert.iteration)
        before = self._state_before(_since(first)) if mode == "train" else self._state_now()
        checkpoint = self.checkpoint_of(before) if before is not None else None
        folder = incident_folder(self.work_dir, first.iteration)
        if not self.world.is_main or (folder / FACTS_FILE).exists():
            return
        incident = Incident(
            kind=first.kind,
            severity=first.severity,
            iteration=first.iteration,
            epoch=first.epoch,
            epoch_batch=first.iteration - (first.epoch - 1) * self.rules.epoch_length,
            metric=first.metric,
            value=first.value,
            evidence=first.evidence,
            mode=mode,
            config=self.config_name,
            world_size=self.world.size,
            also=tuple(sorted({alert.kind for alert in critical} - {first.kind})),
        )
        try:
            self._write_incident(incident, checkpoint)
        except (StorageError, TypeError) as error:
            self.log.warning(f"the incident of iteration {first.iteration} could not be kept: {error}")
        else:
            self.log.info(
                f"the state before iteration {first.iteration} is kept in {folder.relative_to(self.work_dir)}; "
                "`sdpose explain` and this work dir tell more"
            )

    def _write_incident(self, incident: Incident, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None and self.store is not None:
            require_room_for_file(self.work_dir / INCIDENTS, self.store.checkpoint_bytes)
        write_incident(self.work_dir, incident, checkpoint)

    def _state_before(self, iteration: int) -> StoredState | None:
        """The newest copy from before an iteration, or the newest at all."""
        if self.good is None or not self.good.iterations:
            return None
        earlier = [kept for kept in self.good.iterations if kept < iteration]
        copy = self.good.at(max(earlier)) if earlier else self.good.newest()
        return copy.stored() if copy is not None else None

    def _state_now(self) -> StoredState | None:
        return self.state.store(self.monitor.state_dict()) if self._weights_are_good else None

    # Repairs -----------------------------------------------------------------------------------------------------

    def treat(self, interval: Interval, alerts: Sequence[Alert]) -> Outcome:
        """Repair what these alerts tell of. All processes must call it, with the same.

        "put back": the state is an earlier one. "lost": nothing helps; the state is the last good one, if there is
        one, and the run should be saved and end.
        """
        wanted = [alert for alert in alerts if alert.severity != "info" and self.rules.recovers(alert.kind)]
        if not any(map(self.rules.recovers, REPAIRABLE)):
            return "nothing"
        files: Mapping[int, Path] = {}
        if wanted or self.recovery.under_test is not None:
            files = self.world.broadcast_object(self._saved_states())
        seen = [
            Seen(
                iteration=entry.host.iteration,
                loss=entry.logged["loss"],
                grad_norm=entry.logged.get("grad_norm"),
            )
            for entry in interval.iterations
        ]
        assert self.good is not None, "settings refuse recover without snapshot"
        faults = [self._fault(alert, interval) for alert in wanted]
        decision = self.recovery.observe(seen, faults, sorted({*files, *self.good.iterations}))
        return self._obey(decision, files)

    def _obey(self, decision: Decision, files: Mapping[int, Path]) -> Outcome:
        now = self.state.progress
        if decision.helped is not None:
            self._keep_what_the_test_needs()
            self._tell("helped", decision.helped, f"the repair has helped: {decision.helped.in_words()}")
            self.say([helped_alert(decision.helped, now, self.facts)])
        if decision.lost is not None:
            self._tell("lost", decision.lost, f"beyond repair: {decision.why}")
            alert = lost_alert(decision.lost, decision.why, now, self.recovery.max_repairs, self.facts)
            self.say([alert])
            if self.rules.dry_run:
                self.recovery.left_it(now.iteration)
                return "nothing"
            self.recovery.gave_up()
            self._keep_what_the_test_needs()
            self.state.treatment = self.recovery.treatment
            self._go_back(decision.lost, files)
            return "lost"
        repair = decision.repair
        if repair is None:
            return "nothing"
        would = "would be repaired: " if self.rules.dry_run else ""
        text = (
            f"{would}{repair.fault.kind} since iteration {repair.onset}, attempt {repair.attempt} of "
            f"{self.recovery.max_repairs}: back to iteration {repair.go_back_to}; {repair.in_words()}"
        )
        self._tell("dry run" if self.rules.dry_run else "made", repair, text)
        max_repairs = self.recovery.max_repairs
        self.say([repair_alert(repair, now, max_repairs, self.facts, dry_run=self.rules.dry_run)])
        if self.rules.dry_run:
            self.recovery.left_it(now.iteration)
            return "nothing"
        self._go_back(repair, files)
        self.recovery.went_back(repair)
        self.state.treatment = self.recovery.treatment
        self._keep_what_the_test_needs()
        return "put back"

    def _keep_what_the_test_needs(self) -> None:
        """A repair that does not help goes back again, also in a run that was resumed meanwhile."""
        if self.store is not None:
            test = self.recovery.under_test
            self.store.kept_iteration = test.go_back_to if test is not None else None

    def _go_back(self, repair: Repair, files: Mapping[int, Path]) -> None:
        """To the state that the repair names; stays where it is when there is none."""
        iteration = repair.go_back_to
        copy = self.good.at(iteration) if self.good is not None else None
        if copy is not None:
            stored = copy.stored()
        elif iteration in files:
            stored = StoredState.of_checkpoint(load_checkpoint(files[iteration]), self.world.rank)
        else:
            return
        self.state.go_to(stored)
        self.monitor.load_state_dict(stored.monitor)
        self._weights_are_good = True
        if self.good is not None:
            self.good.drop_after(iteration)

    def _fault(self, alert: Alert, interval: Interval) -> Fault:
        return Fault(
            kind=alert.kind,
            severity=alert.severity,
            iteration=alert.iteration,
            since=_since(alert),
            suspects=self._suspects(alert, interval) if alert.kind == "non_finite" else (),
        )

    def _suspects(self, alert: Alert, interval: Interval) -> tuple[int, ...]:
        """Whose batches may have made a value NaN or infinite: it shows in a loss, or in the weights one step later."""
        host = {entry.host.iteration: entry.host for entry in interval.iterations}
        norms = {entry.host.iteration: entry.logged.get("grad_norm") for entry in interval.iterations}
        number, size = alert.iteration, self.rules.cumulative_iters
        if number not in host:
            return ()
        position = (host[number].batch - 1) % size
        if alert.metric in ("grad_norm", "weight_norm"):
            return tuple(range(number - position, number + 1))
        last_step = number - position - 1
        # Known from the norm of its gradients, or from the weights at the end of the interval before.
        was_sound = last_step not in host or norms.get(last_step) is not None
        return (number,) if was_sound else (*range(max(last_step - size + 1, 1), last_step + 1), number)

    def _saved_states(self) -> dict[int, Path]:
        """Finished iterations -> checkpoint, of those that this run can go on from exactly."""
        if self.store is None:
            return {}
        saved: dict[int, Path] = {}
        for path in sorted(self.store.files()):
            try:
                header = load_header(path)
            except SdposeError:
                continue  # damaged; the resume says so, and here others serve
            resume = header.resume
            if resume is not None and (resume["world_size"], resume["epoch_length"]) == (
                self.world.size,
                self.rules.epoch_length,
            ):
                saved[header.iteration] = path
        return saved

    def _tell(self, outcome: str, repair: Repair, text: str) -> None:
        """One line in the log and one in `repairs.jsonl`."""
        self.log.warning(f"REPAIR at iteration {self.state.progress.iteration}: {text}")
        if not self.world.is_main:
            return
        line: dict[str, Any] = {
            "time": time.time(),
            "iteration": self.state.progress.iteration,
            "epoch": self.state.progress.epoch + 1,
            "outcome": outcome,
            "text": text,
            **repair.to_plain(),
        }
        try:
            with (self.work_dir / REPAIRS).open("a", encoding="utf-8") as file:
                file.write(dumps(line) + "\n")
        except OSError as error:
            self.log.warning(f"{REPAIRS} could not be written: {error.strerror}")


def _since(alert: Alert) -> int:
    """The first iteration that shows the fault, where the alert knows it."""
    first = alert.evidence.get("first_iteration")
    return min(first, alert.iteration) if isinstance(first, int) else alert.iteration
