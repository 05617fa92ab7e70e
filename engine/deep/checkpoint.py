"""Checkpoints of other code: read without running code in them, loaded strictly by a name table."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..cards import file_hash
from ..errors import WhetstoneError
from .weights import put_tensors

#: Where training scripts put the weights in a checkpoint; averaged ones are what one samples with.
_NESTS = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "network")


@dataclass(frozen=True)
class Checkpoint:
    """The named tensors of a file.

    Attributes:
        path: The file.
        tensors: By their names in the file, without the prefix of DataParallel.
        part: The keys that they were under, joined by dots; "" at the top.
    """

    path: Path
    tensors: dict[str, Tensor]
    part: str

    @property
    def modules(self) -> set[str]:
        """Names of the modules that the tensors belong to."""
        return {name.rpartition(".")[0] for name in self.tensors}

    def shape(
        self, name: str, rule: str, suits: Callable[[Sequence[int]], bool]
    ) -> tuple[int, ...]:
        """The shape of the kernel ``name``; refused with ``rule`` unless it is there and suits."""
        found = tuple(self.tensors[name].shape) if name in self.tensors else None
        if found and len(found) == 4 and min(found) > 0 and suits(found):
            return found
        trouble = "is missing" if found is None else f"has the shape {found}"
        raise WhetstoneError(
            "MODEL_INVALID", f"'{self.path}': the tensor {name} {trouble}; it must be {rule}."
        )

    def put_into(
        self, network: nn.Module, table: Mapping[str, str], ignored: re.Pattern[str] | None = None
    ) -> None:
        """Copy all tensors into a network, or none; what does not fit is named as in the file.

        Args:
            network: Ours.
            table: Modules of the file and ours.
            ignored: Matches the beginning of the tensors that are left out.
        """
        theirs = {ours: name for name, ours in table.items()}
        tensors = {
            _renamed(name, table): tensor
            for name, tensor in self.tensors.items()
            if ignored is None or not ignored.match(name)
        }
        put_tensors(network, tensors, self.path, lambda name: _renamed(name, theirs))

    def origin(self) -> dict[str, str]:
        """Where its weights are from, for a card."""
        part = {"part": self.part} if self.part else {}
        return {"imported_from": self.path.name, "sha256": file_hash(self.path), **part}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    module, dot, leaf = name.rpartition(".")
    return f"{table[module]}.{leaf}" if dot and module in table else name


def read_checkpoint(source: Path) -> Checkpoint:
    """The tensors in a file of PyTorch or safetensors; anything else is refused in words."""
    data = _load(source)
    path: list[str] = []
    while isinstance(data, dict):
        nest = next((key for key in _NESTS if isinstance(data.get(key), dict)), None)
        if nest is None:
            break
        data = data[nest]
        path.append(nest)
    if not isinstance(data, dict) or not any(isinstance(v, Tensor) for v in data.values()):
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{source}' holds no named tensors.",
            "A checkpoint is what torch.save(model.state_dict(), FILE) writes.",
        )
    odd = next((key for key, value in data.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise WhetstoneError("MODEL_INVALID", f"'{source}': the entry {odd} is no tensor.")
    tensors = {}
    for key, value in data.items():
        name = str(key)
        while name.startswith("module."):  # DataParallel puts it there
            name = name[len("module.") :]
        tensors[name] = value
    return Checkpoint(source, tensors, ".".join(path))


def _load(source: Path) -> Any:
    """What a file holds, read without running code in it."""
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WhetstoneError(
            "MODEL_UNREADABLE",
            f"'{source}' cannot be read: {error.strerror or error}.",
            "Check the path.",
        ) from None
    except SafetensorError as error:
        raise WhetstoneError(
            "MODEL_DAMAGED", f"'{source}' is no sound safetensors file: {error}."
        ) from None
    except Exception as error:  # torch raises many kinds for bytes that are no checkpoint
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise WhetstoneError(
                "MODEL_UNSAFE",
                f"'{source}' holds more than tensors ({code[1]}); it was not run.",
                "Save the tensors alone: torch.save(model.state_dict(), FILE).",
            ) from None
        raise WhetstoneError(
            "MODEL_DAMAGED",
            f"'{source}' is damaged or no checkpoint of PyTorch.",
            "Copy or download it again.",
        ) from None
