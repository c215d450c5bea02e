"""Which device trains, and in which precision."""

import torch

from experiments.errors import UserError
from experiments.tasks.base import Split, Task

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the fastest one that is there.

    Raises:
        UserError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["cpu"] = True
    if name == "auto":
        return torch.device(next(device for device, present in there.items() if present))
    if not there[name]:
        present = ", ".join(device for device, present in there.items() if present)
        raise UserError(f"device: {name} is not to be had here; this machine has {present}.")
    return torch.device(name)


def choose_precision(name: str, task: Task, device: torch.device) -> str:
    """Return `name`, or for `auto` bf16 where the task gains and the hardware has it, else fp32."""
    if name != "auto":
        return name
    return "bf16" if task.mixed_precision and has_bf16(device) else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Return whether the device computes in bf16, rather than imitating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


def to_device(split: Split, device: torch.device) -> Split:
    """Return `split` (numpy) as one tensor for x and one for y on `device`."""
    return Split(torch.tensor(split.x, device=device), torch.tensor(split.y, device=device))
