"""One training run: settings in, checkpoints, logs and statistics out. The one place where everything meets."""

from __future__ import annotations

import dataclasses
import random
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch.optim import Optimizer

from sdpose.assemble.data import training_data, training_loader
from sdpose.assemble.loggers import build_loggers
from sdpose.assemble.machine import choose_machine, is_out_of_memory
from sdpose.assemble.model import (
    build_loss,
    build_model,
    model_spec_from_settings,
    variant_name,
)
from sdpose.assemble.notify import build_notifier
from sdpose.assemble.schedule import build_hooks, build_optimizer_from, build_schedule_from
from sdpose.assemble.training_step import no_sync_of, training_step, wrap_for_training
from sdpose.assemble.user_code import import_user_code
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.evaluate import Evaluator
from sdpose.explain import explain_ending
from sdpose.models import SDPose
from sdpose.models.losses import total_loss
from sdpose.models.weights import load_model_weights
from sdpose.monitor import Monitor, RunFacts
from sdpose.report.write import report_at_end
from sdpose.run import Run, RunFailed, RunStopped
from sdpose.training.checkpoint import Checkpoint, load_checkpoint
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.disk_space import estimated_checkpoint_bytes
from sdpose.training.distributed import World, init_from_environment, is_lost_peer
from sdpose.training.energy import EnergyMeter, find_counters
from sdpose.training.folder_in_use import in_use
from sdpose.training.logs import RunLog
from sdpose.training.loop import LoopSettings, TrainingLoop
from sdpose.training.optim import load_optimizer_state
from sdpose.training.progress import Progress
from sdpose.training.random_state import restore_random_state
from sdpose.training.resume import resolve_resume
from sdpose.training.signals import StopRequest
from sdpose.training.state import TrainingState
from sdpose.training.vital_signs import weight_signs


class FitConsole(Protocol):
    """Where a run shows itself to a person."""

    def line(self, text: str) -> None: ...

    def training(self, iteration: int, total: int, epoch: int, total_epochs: int) -> None: ...

    def evaluation(self, done: int, total: int) -> None: ...


class SilentConsole:
    """Shows nothing: ranks other than 0."""

    def line(self, text: str) -> None: ...

    def training(self, iteration: int, total: int, epoch: int, total_epochs: int) -> None: ...

    def evaluation(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class FitOptions:
    """What the command line adds to the settings; None leaves what the config says."""

    work_dir: Path | None = None
    resume_from: str | None = None
    """A checkpoint, or "auto" for the newest undamaged one of the work dir."""
    load_from: str | None = None
    validate: bool = True
    seed: int | None = None
    deterministic: bool = False
    device: str | None = None
    launcher: str | None = None
    autoscale_lr: bool = False


@dataclass(frozen=True)
class FitOutcome:
    """How a run ended."""

    exit_code: int
    """0 finished, 1 failed, 129, 130 or 143 stopped by a signal with everything saved."""
    work_dir: Path
    best_score: float | None
    best_checkpoint: Path | None


def fit(settings: Settings, options: FitOptions, console: FitConsole) -> FitOutcome:
    """Train, or go on training. Raises SdposeError for what the user can mend, before anything is overwritten."""
    world = init_from_environment(options.launcher, device=options.device)
    try:
        with StopRequest() as stop, ExitStack() as held:
            return _fit(settings, options, console if world.is_main else SilentConsole(), world, stop, held)
    finally:
        world.shutdown()


def _fit(
    settings: Settings,
    options: FitOptions,
    console: FitConsole,
    world: World,
    stop: StopRequest,
    held: ExitStack,
) -> FitOutcome:
    work_dir = options.work_dir or Path(settings.work_dir)
    user_code = import_user_code(settings, console.line)
    # A wrong address is told before anything begins; what goes wrong later goes to the log that is opened below.
    notifier = (
        build_notifier(settings, name=work_dir.name, log=lambda text: log.warning(text))
        if world.is_main
        else None
    )
    machine = choose_machine(settings, world.device, deterministic=options.deterministic)
    checkpoint_dir = Path(settings.checkpoint_config.out_dir or work_dir)
    resumed, warnings = _find_checkpoint(settings, options, checkpoint_dir)
    seed = _choose_seed(settings, options, resumed, world)
    torch.manual_seed(seed)
    random.seed(seed)

    dataset = training_data(settings, seed=seed)
    loader = training_loader(settings, dataset, world, seed=seed)
    meter = EnergyMeter(find_counters(machine.device, local_rank=world.local_rank), world)

    def evaluation(done: int, total: int) -> None:
        console.evaluation(done, total)
        meter.tick()

    evaluator = Evaluator(settings, "val", world, machine, evaluation) if options.validate else None
    backbone_notes: list[str] = []
    model = build_model(settings, pretrained=resumed is None, report=backbone_notes.append)
    _load_weights(settings, options, model, resumed)
    machine.place(model)
    # Said once: this is where a backbone with norm_eval sets its batch norms to evaluation.
    model.train()
    criterion = build_loss(settings, user_code).to(machine.device)
    lr_factor = world.size / 8 if options.autoscale_lr else 1.0
    optimizer = build_optimizer_from(settings, model, lr_factor=lr_factor)
    notes = _resume_optimizer(optimizer, resumed)

    if world.is_main:
        for folder in sorted({work_dir.resolve(), checkpoint_dir.resolve()}):
            held.enter_context(in_use(folder))
    checkpoints = settings.checkpoint_config
    store = (
        CheckpointStore(
            checkpoint_dir,
            total_epochs=settings.total_epochs,
            interval=checkpoints.interval,
            max_keep_ckpts=checkpoints.max_keep_ckpts,
            save_last=checkpoints.save_last,
            rule=settings.evaluation.rule or "greater",
            checkpoint_bytes=estimated_checkpoint_bytes(model, optimizer),
        )
        if world.is_main
        else None
    )
    if store is not None:
        store.require_room()
    loggers = (
        build_loggers(settings, work_dir, resumed=resumed is not None, warn=notes.append)
        if world.is_main
        else []
    )
    trained = wrap_for_training(model, settings, machine, world)
    # All ranks have read what they were to load: now it may move.
    world.barrier()
    set_aside = store.set_aside() if store is not None and resumed is None else None
    if evaluator is not None:
        evaluator.remember(
            work_dir,
            epoch=resumed.epoch if resumed else None,
            source=resumed.path.parent if resumed and resumed.path else None,
            aside=set_aside,
        )
    log = RunLog(
        work_dir,
        console=lambda level, text: console.line(text if level == "INFO" else f"{level}: {text}"),
        level={"DEBUG": "INFO", "CRITICAL": "ERROR"}.get(settings.log_level, settings.log_level),
        loggers=loggers,
        enabled=world.is_main,
    )
    language = settings.monitor.language
    report = report_at_end(work_dir, language=language, say=log.info, enabled=world.is_main)
    with log, closing(loader), report:
        monitor = Monitor(build_hooks(settings, user_code), log=log.info)
        state = TrainingState(model, optimizer, machine.device)
        run = Run(
            settings=settings,
            model=model,
            state=state,
            monitor=monitor,
            store=store,
            evaluator=evaluator,
            log=log,
            console=console,
            world=world,
            machine=machine,
            stop=stop,
            work_dir=work_dir,
            seed=seed,
            epoch_length=len(loader),
            num_images=len(dataset.table.image_paths),
            meter=meter,
            notifier=notifier,
        )
        if resumed is None:
            run.shop.begin(aside=set_aside)
        clip = settings.optimizer_config.grad_clip
        loop = TrainingLoop(
            state=state,
            compute_losses=training_step(settings, trained, criterion, machine),
            total_loss=total_loss,
            schedule=build_schedule_from(settings, settings.optimizer.lr * lr_factor),
            loader=loader,
            events=run,
            settings=LoopSettings(
                total_epochs=settings.total_epochs,
                # An epoch shorter than that would leave no line at all.
                log_interval=min(settings.log_config.interval, len(loader)),
                max_norm=clip.max_norm if clip else None,
                norm_type=clip.norm_type if clip else 2.0,
                cumulative_iters=settings.optimizer_config.cumulative_iters,
            ),
            signs_at_end=partial(weight_signs, model, optimizer),
            world=world,
            no_sync=no_sync_of(trained),
        )
        facts = _facts(settings, model, work_dir, world, seed, len(loader), options)
        checkpoint_mib = estimated_checkpoint_bytes(model, optimizer) / 2**20
        facts = dataclasses.replace(facts, checkpoint_mib=checkpoint_mib)
        _say_start(run, facts, len(dataset))
        if set_aside is not None:
            log.startup(f"the checkpoints of the run before are kept in {set_aside}", shown=True)
        for line in (*dataset.table.notes, *backbone_notes, *warnings, *notes):
            log.warning(line)
        if resumed is not None:
            _restore(resumed, run)
            facts = dataclasses.replace(facts, start_iteration=loop.progress.iteration)
        saved_energy = (resumed.resume or {}).get("energy") if resumed is not None else None
        meter.start(saved_energy, resumed=resumed is not None)
        outcome = _run_to_the_end(run, loop, facts)
        if outcome.exit_code == 1 and settings.monitor.explain and world.size == 1:
            since, stopped = facts.start_iteration, lambda: stop.requested
            explain_ending(
                settings, work_dir, machine, user_code, since_iteration=since, stopped=stopped, log=log.info
            )
        return outcome


def _run_to_the_end(run: Run, loop: TrainingLoop, facts: RunFacts) -> FitOutcome:
    """The loop with its three endings: done, stopped, failed. Statistics are written in all of them."""
    reason, exit_code = "finished", 0
    try:
        run.start(loop.progress, facts)
        if not loop.run():
            reason, exit_code = "interrupted", run.stop.exit_code or 1
    except RunStopped as stopped:
        reason, exit_code = f"stopped: {stopped}", 1
    except RunFailed as failed:
        run.log.error(str(failed))
        reason, exit_code = f"failed: {failed}", 1
    except SdposeError as error:
        # A scheduler's SIGTERM may reach the loader's workers before the loop has looked at it: that is a stop. Several
        # processes would have to agree on it, and half an accumulation group cannot be saved.
        alone = run.world.size == 1 and loop.is_between_steps
        if run.stop.requested and alone and run.iteration_finished(loop.progress):
            run.finish("interrupted")
            return FitOutcome(run.stop.exit_code, run.work_dir, None, None)
        run.log.error(str(error))
        run.finish(f"failed: {error}")
        raise
    except BaseException as error:  # a bug, used up memory, a second Ctrl-C: the files say so too
        if run.world.size > 1 and is_lost_peer(error):
            lost = "another process of this run has ended, and its own lines say why; go on with --resume-from auto"
            run.log.error(lost)
            run.finish("failed: another process has ended")
            raise SdposeError(lost) from error
        if not is_out_of_memory(error):
            run.finish(f"failed: {type(error).__name__}")
            raise
        cure = out_of_memory_cure(run.settings, run.machine.device)
        run.log.error(cure)
        run.finish("failed: out of memory")
        raise SdposeError(cure) from error
    run.finish(reason)
    best = run.store.best_path if run.store else None
    return FitOutcome(exit_code, run.work_dir, run.store.best_score if run.store else None, best)


def _find_checkpoint(
    settings: Settings, options: FitOptions, checkpoint_dir: Path
) -> tuple[Checkpoint | None, tuple[str, ...]]:
    wanted = options.resume_from or settings.resume_from
    if wanted is None:
        return None, ()
    point = resolve_resume(wanted, checkpoint_dir)
    if point.checkpoint is None:
        return None, (*point.warnings, f"nothing to resume in {checkpoint_dir}, starting from the beginning")
    return point.checkpoint, point.warnings


def _resume_optimizer(optimizer: Optimizer, resumed: Checkpoint | None) -> list[str]:
    """Load the optimizer's state; gives lines about what differs from the config.

    The learning rate is the config's, unlike in mmcv: "lower the learning rate and resume" has to do what it says.
    """
    if resumed is None or resumed.optimizer is None:
        return []
    wanted = [group["lr"] for group in optimizer.param_groups]
    notes = load_optimizer_state(optimizer, resumed.optimizer, source=str(resumed.path))
    notes = [note for note in notes if "learning rate" not in note]
    for group, lr in zip(optimizer.param_groups, wanted, strict=True):
        if group["initial_lr"] != lr:
            notes.append(
                f"{resumed.path} was trained with learning rate {group['initial_lr']:g}, now it is {lr:g}"
            )
        group["initial_lr"] = lr
    return notes


def _choose_seed(settings: Settings, options: FitOptions, resumed: Checkpoint | None, world: World) -> int:
    """The command line's, else the resumed run's (so that it goes on as it was), else the config's, else random."""
    given = options.seed
    if given is None and resumed is not None and isinstance(resumed.meta.get("seed"), int):
        given = resumed.meta["seed"]
    if given is None:
        given = settings.seed
    drawn = random.SystemRandom().randrange(2**31) if given is None else given
    return int(world.broadcast_object(drawn))


def _load_weights(settings: Settings, options: FitOptions, model: SDPose, resumed: Checkpoint | None) -> None:
    source = resumed
    if source is None and (path := options.load_from or settings.load_from):
        source = load_checkpoint(path)
    if source is not None:
        load_model_weights(model, source.state_dict, source=str(source.path))


def _restore(resumed: Checkpoint, run: Run) -> None:
    """Put everything back where the checkpoint stands; says so when that cannot be exact."""
    log, world, state = run.log, run.world, run.state
    if run.store is not None:
        run.store.continue_from(resumed)
    saved = resumed.resume
    progress = Progress(epoch=resumed.epoch, iteration=resumed.iteration)
    if saved is None:
        log.info(
            f"resumed from an official checkpoint {resumed.path}: weights, optimizer, epoch and iteration"
        )
    elif saved["world_size"] != world.size or saved["epoch_length"] != run.epoch_length:
        log.warning(
            f"{resumed.path} was saved with {saved['world_size']} process(es) and {saved['epoch_length']} iterations "
            f"an epoch, now there are {world.size} and {run.epoch_length}: the epoch begins anew, not bit-exact"
        )
        progress.iteration = progress.epoch * run.epoch_length
        run.monitor.load_state_dict(saved["monitor"])
    else:
        progress.batch = saved["batch"]
        run.monitor.load_state_dict(saved["monitor"])
        state.pending_evaluation = saved["pending_evaluation"]
        state.window.load_state_dict(saved["windows"][world.rank])
        restore_random_state(saved["random_states"][world.rank], state.device)
    state.progress.move_to(progress)
    num_images = (saved or {}).get("num_images", run.num_images)
    if num_images != run.num_images:
        log.warning(
            f"{resumed.path} was trained on {num_images} images, now there are {run.num_images}: not bit-exact"
        )
    same_settings = resumed.meta.get("config") == run.config_text
    run.shop.resume((saved or {}).get("recovery"), same_settings=same_settings)
    if resumed.meta.get("seed") not in (None, run.seed):
        log.warning(
            f"{resumed.path} was trained with seed {resumed.meta['seed']}, now it is {run.seed}: not bit-exact"
        )
    log.info(f"resumed epoch {resumed.epoch}, iter {resumed.iteration}")
    total_epochs = run.settings.total_epochs
    if resumed.epoch >= total_epochs:
        log.warning(
            f"nothing is left to train: {resumed.epoch} epochs are done and total_epochs is {total_epochs}; to go on: "
            f"--cfg-options total_epochs={max(2 * total_epochs, resumed.epoch + total_epochs)}"
        )


def _facts(
    settings: Settings,
    model: SDPose,
    work_dir: Path,
    world: World,
    seed: int,
    epoch_length: int,
    options: FitOptions,
) -> RunFacts:
    clip = settings.optimizer_config.grad_clip
    warmup = settings.lr_config
    return RunFacts(
        name=work_dir.name,
        variant=variant_name(model_spec_from_settings(settings)),
        config_path=str(settings.path),
        work_dir=work_dir if world.is_main else None,
        total_epochs=settings.total_epochs,
        epoch_length=epoch_length,
        seed=seed,
        lr=settings.optimizer.lr,
        warmup_iterations=warmup.warmup_iters * (epoch_length if warmup.warmup_by_epoch else 1)
        if warmup.warmup
        else 0,
        max_norm=clip.max_norm if clip else None,
        samples_per_gpu=settings.data.train_samples_per_gpu,
        workers_per_gpu=settings.data.train_workers_per_gpu,
        num_processes=world.size,
        evaluation_interval=settings.evaluation.interval if options.validate else None,
        checkpoint_interval=settings.checkpoint_config.interval,
        language=settings.monitor.language,
        cooldown_iterations=settings.monitor.cooldown_iterations,
        saves_best=options.validate and settings.evaluation.best_metric == "AP",
    )


def _say_start(run: Run, facts: RunFacts, num_samples: int) -> None:
    """What stands at the head of a log: environment, config, where, how much."""
    settings, log, machine, world, evaluator = run.settings, run.log, run.machine, run.world, run.evaluator
    log.startup(f"Environment info:\n{run.environment}")
    log.startup(f"Distributed training: {world.size > 1}")
    log.startup(f"Config:\n{run.config_text}")
    log.startup(f"Set random seed to {run.seed}, deterministic: {torch.backends.cudnn.deterministic}")
    log.meta({"env_info": run.environment, "seed": run.seed, "hook_msgs": {}})
    log.startup(f"workflow: [('train', 1)], max: {settings.total_epochs} epochs")
    processes = f", {world.size} processes" if world.size > 1 else ""
    evaluated = f"; evaluated: {evaluator.describe()}" if evaluator else "; no evaluation"
    # Not through log.info: a path or a setting's name may hold "inf", which the guide's grep of latest.log looks for.
    interval, epoch_length = settings.log_config.interval, facts.epoch_length or 1
    rare = f"log_config.interval is {interval}, an epoch has {epoch_length} iterations: one line is logged an epoch"
    for line in (
        f"Start running, work_dir: {facts.work_dir}, seed {run.seed}",
        f"on {machine.describe()}{processes}",
        f"{num_samples} training persons, {facts.epoch_length} iterations an epoch{evaluated}",
        *([rare] if interval > epoch_length else []),
        *settings.notes,
    ):
        log.startup(line, shown=True)
    if machine.warning:
        log.warning(machine.warning)


def out_of_memory_cure(settings: Settings, device: torch.device) -> str:
    """The guide's entry for "CUDA out of memory", with this run's numbers."""
    now = settings.data.train_samples_per_gpu
    where = "CUDA" if device.type == "cuda" else "CPU"
    if now == 1:
        return (
            f"{where} out of memory with samples_per_gpu=1; the model does not fit, choose a smaller variant"
        )
    half = max(now // 2, 1)
    return (
        f"{where} out of memory with samples_per_gpu={now}; try {half}: --cfg-options data.samples_per_gpu={half} (add "
        "optimizer_config.type=GradientCumulativeOptimizerHook optimizer_config.cumulative_iters=2 to keep the batch)"
    )
