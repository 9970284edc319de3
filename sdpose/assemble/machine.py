"""How the machine is used: precision, memory format, kernels. Nothing here changes what is learnt beyond rounding."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.models import keep_freed_memory

IMITATED_BF16 = "this CPU has no bf16 instructions: it imitates them and is slower than in float32"
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@dataclass(frozen=True)
class Machine:
    """The chosen way of computing on one device."""

    device: torch.device
    bf16: bool
    channels_last: bool

    @property
    def imitates_bf16(self) -> bool:
        """Whether bfloat16 was asked of a CPU that has no instructions for it."""
        return self.bf16 and self.device.type == "cpu" and not cpu_computes_bf16()

    @property
    def warning(self) -> str | None:
        """What the log says of a choice that does not suit the device, with its cure."""
        return f"{IMITATED_BF16}; set runtime.precision=fp32" if self.imitates_bf16 else None

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 for what is safe in it; losses and batch norm statistics stay float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model on the device, in the memory format that is fast there."""
        model = model.to(self.device)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model  # type: ignore[call-overload]

    def describe(self) -> str:
        """For the log."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return (
            f"{self.device} ({name}), {'bf16 autocast' if self.bf16 else 'float32'}, "
            f"{'channels_last' if self.channels_last else 'contiguous'}, {torch.get_num_threads()} threads"
        )


def choose_machine(settings: Settings, device: torch.device, *, deterministic: bool = False) -> Machine:
    """What `settings.runtime` asks for on this device; `auto` is bf16 on GPUs that have it, float32 elsewhere."""
    runtime = settings.runtime
    on_gpu = device.type == "cuda"
    if runtime.precision == "bf16" and not has_bf16(device):
        raise SdposeError(
            f"runtime.precision is 'bf16', which {device} cannot do; set runtime.precision=fp32"
        )
    if runtime.compile == "cuda-graphs" and not on_gpu:
        raise SdposeError(
            f"runtime.compile is 'cuda-graphs', which {device} cannot do; set runtime.compile=True or False"
        )
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = runtime.tf32
        torch.backends.cudnn.allow_tf32 = runtime.tf32
        torch.backends.cudnn.deterministic = deterministic
        torch.backends.cudnn.benchmark = not deterministic
    else:
        keep_freed_memory()
    channels_last = runtime.channels_last if runtime.channels_last is not None else True
    bf16 = runtime.precision == "bf16" or (runtime.precision == "auto" and on_gpu and has_bf16(device))
    return Machine(device, bf16=bf16, channels_last=channels_last)


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 can be asked of the device at all; every CPU can at least imitate it."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else True


def cpu_computes_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware: AVX512_BF16 or AMX on x86, BF16 on Arm."""
    if not hasattr(torch.cpu, "get_capabilities"):
        # Older than torch 2.13; every CPU with AMX has this one too.
        return bool(torch.cpu._is_avx512_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _BF16_INSTRUCTIONS)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the CPU's allocator, had no more memory to give."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
