"""Which device trains, and in which precision."""

import torch

from experiments.core.errors import UserError
from experiments.tasks.task import Split, Task

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the fastest one available.

    Raises:
        UserError: device-unavailable.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available = [*(device for device, there in present.items() if there), "cpu"]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        expected = f"one of {', '.join(available)}"
        raise UserError("device-unavailable", "device", expected, name, "Pass device=auto or cpu.")
    return torch.device(name)


def choose_precision(name: str, task: Task, device: torch.device) -> str:
    """Return `name`; `auto` is bf16 if the task and the hardware gain by it, else fp32."""
    if name != "auto":
        return name
    return "bf16" if task.mixed_precision and has_bf16(device) else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Return whether the hardware computes in bf16, without emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of a forward pass in `precision`."""
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")


def to_device(split: Split, device: torch.device) -> Split:
    """Return `split` (numpy) as one tensor for x and one for y on `device`."""
    return Split(torch.tensor(split.x, device=device), torch.tensor(split.y, device=device))
