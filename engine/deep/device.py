"""The machine under the models: device, precision, memory allocator, how many windows at a time."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Callable

import torch

from ..errors import WhetstoneError
from ..jobs import PRECISIONS

if TYPE_CHECKING:
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
#: bf16 is taken by itself only if its images differ from fp32 by less than this.
LEAST_PSNR = 60.0
#: On a CPU batches bring nothing but memory; a few windows keep all cores busy.
CPU_WINDOWS = 4
MOST_WINDOWS = 256
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def pick_device(name: str) -> torch.device:
    """The device called ``name``: "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        WhetstoneError: ``DEVICE`` when there is none like that.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if device is None or (device.index or 0) >= there.get(device.type, 0):
        has = ", ".join(f"{n} x {kind}" for kind, n in there.items() if n)
        raise WhetstoneError(
            "DEVICE",
            f"There is no device {name!r} here.",
            f"This machine has {has}; choose one of {', '.join(DEVICES)}.",
        )
    return device


def prepare(device: torch.device, threads: int) -> None:
    """Set threads and, on Linux, keep freed memory in the process.

    glibc gives every large activation back to the system and faults it in anew; without that,
    inference on a CPU is up to four times faster. Safe to call again.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32: batches agree, and bf16 is judged by it
    if device.type == "cpu" and sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):
            return  # another C library
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 256 << 20)


def pick_precision(
    name: str, device: torch.device, probe: Callable[[str], Tensor], convolutional: bool = False
) -> tuple[str, str]:
    """(precision, why). ``probe`` makes an image of nominal range 0 to 1 in a precision.

    "auto" is bf16 where the device computes with it, if the image keeps 60 dB to fp32. On a CPU
    only a ``convolutional`` network gains by it.
    """
    if name not in PRECISIONS:
        raise WhetstoneError(
            "PRECISION", f"There is no precision {name!r}.", f"Choose {', '.join(PRECISIONS)}."
        )
    if name != "auto":
        return name, "chosen"
    if not bf16_gains(device, convolutional):
        return "fp32", "bf16 gains nothing here"
    error = (probe("bf16") - probe("fp32")).square().mean()
    psnr = float(-10 * torch.log10(error.clamp(min=1e-12)))
    fits = psnr >= LEAST_PSNR
    return ("bf16" if fits else "fp32"), f"bf16 keeps {psnr:.0f} dB, {LEAST_PSNR:.0f} are needed"


def bf16_gains(device: torch.device, convolutional: bool) -> bool:
    """Whether a network computes faster in bf16; on a CPU, only a ``convolutional`` one may."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    has = torch.cpu.get_capabilities()
    return (
        device.type == "cpu"
        and convolutional
        and bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    )


def windows_at_once(device: torch.device, side: int, asked: int) -> int:
    """How many windows of ``side`` pixels go into one call of a network."""
    if asked > 0:
        return asked
    if device.type == "cpu":
        return CPU_WINDOWS
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        each = 3000 * 4 * side * side  # bytes; 3,000 numbers a pixel at the widest place
        return int(min(max(free // 2 // each, 1), MOST_WINDOWS))
    return 16


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    told = str(error).lower()
    wording = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(words in told for words in wording)


def too_small(device: torch.device, what: str) -> WhetstoneError:
    """The error for a device that cannot even hold ``what``."""
    return WhetstoneError(
        "OOM_DEVICE",
        f"{what} does not fit into the memory of {device}.",
        "Close other programs, or use --device cpu.",
    )


def release(device: torch.device) -> None:
    """Give cached memory back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def version_text(device: torch.device) -> str:
    """The device in words, for notes."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    threads = torch.get_num_threads()
    return f"{device.type} with {threads} thread{'s' if threads > 1 else ''}"
