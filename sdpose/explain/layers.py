"""A look at every tensor of one iteration, in the order of computing: where does it begin to be wrong?

Each is told by its largest magnitude, which is NaN or infinite as soon as one of its values is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdpose.explain.bench import Bench
from sdpose.explain.computation import Batch
from sdpose.explain.explanation import Place
from sdpose.models.losses import total_loss
from sdpose.monitor.robust import median, robust_spread

Phase = Literal["target", "weights", "forward", "loss", "backward", "optimizer"]
Key = tuple[Phase, str]

# A tensor is extreme beyond this many times its usual size, and this many spreads of its logarithm.
TIMES_USUAL = 10.0
SPREADS = 6.0


@dataclass(frozen=True)
class Look:
    """Largest magnitude of each tensor, in the order of computing."""

    sizes: Mapping[Key, float]

    def first_not_finite(self) -> Place | None:
        """The first tensor with a NaN or an infinity."""
        for (phase, name), size in self.sizes.items():
            if not math.isfinite(size):
                return Place(layer=name, phase=phase, fault="non_finite", value=size, usual=None)
        return None

    def first_extreme(self, others: Sequence[Look]) -> Place | None:
        """The first tensor far larger than in `others`, passes that are well; NaN there counts as nothing."""
        for key, size in self.sizes.items():
            logs = [
                math.log(look.sizes[key])
                for look in others
                if key in look.sizes and math.isfinite(look.sizes[key]) and look.sizes[key] > 0
            ]
            if not logs or size <= 0:
                continue
            level = median(logs)
            bound = level + max(math.log(TIMES_USUAL), SPREADS * robust_spread(logs))
            if not math.isfinite(size) or math.log(size) > bound:
                fault: Literal["non_finite", "extreme"] = "extreme" if math.isfinite(size) else "non_finite"
                return Place(layer=key[1], phase=key[0], fault=fault, value=size, usual=math.exp(level))
        return None


def look(bench: Bench, batch: Batch) -> Look:
    """One pass forward and back over the batch from where the bench stands, which it leaves as it is.

    Of several ranks each adds its share under its own name ("... (rank 1)").
    """
    recorder = _Recorder()
    with bench.unmoved():
        _look_at_state(bench, recorder)
        for rank, share in enumerate(batch):
            bench.model.zero_grad(set_to_none=True)
            recorder.suffix = f" (rank {rank})" if len(batch) > 1 else ""
            with _recorded(bench.model, recorder):
                result = bench.computation.run(share)
                for name, term in result.terms.items():
                    recorder.add("loss", name, term)
                # Made first, but known only now.
                recorder.add("target", "target", result.target)
                recorder.add("target", "target weight", result.weight)
                recorder.put_first("forward", "images", result.images)
                loss = total_loss(result.terms)
                if loss.requires_grad:
                    loss.backward()
                for name, parameter in bench.model.named_parameters():
                    if parameter.grad is not None:
                        recorder.add("backward", f"{name}.grad", parameter.grad)
    return recorder.read()


def _look_at_state(bench: Bench, recorder: _Recorder) -> None:
    """Weights and statistics, and what the optimizer has averaged."""
    names = {id(parameter): name for name, parameter in bench.model.named_parameters()}
    for name, tensor in bench.model.state_dict().items():
        recorder.add("weights", name, tensor)
    for parameter, moments in bench.optimizer.state.items():
        for kind, value in moments.items():
            if isinstance(value, Tensor) and value.dim() > 0:
                recorder.add("optimizer", f"{names[id(parameter)]} ({kind})", value)


class _Recorder:
    """Keeps magnitudes on the device until all are there."""

    _ORDER: tuple[Phase, ...] = ("target", "weights", "forward", "loss", "backward", "optimizer")

    def __init__(self) -> None:
        self.suffix = ""
        self._sizes: dict[Phase, dict[str, Tensor]] = {phase: {} for phase in self._ORDER}

    def add(self, phase: Phase, name: str, tensor: Tensor) -> str:
        """Note a tensor of floats; gives the name under which it stands: a module's second call is its cycle 2."""
        free = self._free(self._sizes[phase], name + self.suffix)
        self.put(phase, free, tensor)
        return free

    @torch.no_grad()
    def put(self, phase: Phase, name: str, tensor: Tensor) -> None:
        """Note a tensor under this very name."""
        if tensor.is_floating_point() and tensor.numel() > 0:
            self._sizes[phase][name] = tensor.detach().abs().amax().double().reshape(())

    def put_first(self, phase: Phase, name: str, tensor: Tensor) -> None:
        """Note a tensor that was made before all others of its phase."""
        others = self._sizes[phase]
        self._sizes[phase] = {}
        self.put(phase, name + self.suffix, tensor)
        self._sizes[phase].update(others)

    def add_once(self, phase: Phase, name: str, tensor: Tensor) -> None:
        """Like `add`, unless there is one of this name."""
        if name + self.suffix not in self._sizes[phase]:
            self.add(phase, name, tensor)

    def read(self) -> Look:
        """All magnitudes, with one wait for the device."""
        keys: list[Key] = [(phase, name) for phase in self._ORDER for name in self._sizes[phase]]
        tensors = [self._sizes[phase][name].cpu() for phase, name in keys]
        numbers = torch.stack(tensors).tolist() if tensors else []
        return Look(dict(zip(keys, numbers, strict=True)))

    @staticmethod
    def _free(entries: Mapping[str, Tensor], name: str) -> str:
        """A module that runs in every cycle is numbered from the second on."""
        cycle, wanted = 1, name
        while wanted in entries:
            cycle += 1
            wanted = f"{name} (cycle {cycle})"
        return wanted


@contextmanager
def _recorded(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Inside, what the model's innermost modules give is noted, and so are the gradients that come back."""

    def watch(name: str, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            return
        noted = recorder.add("forward", name, tensor)
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: recorder.put("backward", noted, gradient))

    handles = []
    for name, module in model.named_modules():
        if not list(module.children()):
            handles.append(module.register_forward_hook(lambda _, __, out, name=name: watch(name, out)))
        elif name.endswith("transformer_layer1"):
            # The patch embedding is a convolution with the weights of a Linear: no module is called for it.
            embedding = name.replace("transformer_layer1", "patch_to_embedding")
            handles.append(
                module.register_forward_pre_hook(
                    lambda _, inputs, name=embedding: recorder.add_once("forward", name, inputs[0])
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
