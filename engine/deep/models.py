"""Models ready to use: found in the library, or downloaded from the Hugging Face Hub first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import WhetstoneError
from ..library import (
    HubModel,
    LocalModel,
    address,
    catalogue,
    find_local,
    model_files,
    open_model,
    unknown_model,
    user_folder,
)
from ..types import Progress
from . import hub
from .weights import Model, read_model

if TYPE_CHECKING:
    import torch


def load_model(name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """The model called so, ready to use: float32, in eval mode, on ``device``."""
    return read_model(find_model(os.fspath(name_or_path)).path, device)


def find_model(name: str, progress: Progress | None = None) -> LocalModel:
    """The model called ``name``; what only the Hub has is downloaded. Unknown names are refused."""
    wanted = address(name)
    found = None if wanted else find_local(name)
    if found is not None:
        return found
    wanted = wanted or catalogue().get(name)
    if wanted is None:
        raise unknown_model(name)
    return fetch_model(wanted, progress or Progress())


def download_model(name: str, progress: Progress) -> LocalModel:
    """Get a model of the catalogue, or ``hf:OWNER/REPO@COMMIT/FILE.safetensors``, from the Hub."""
    wanted = address(name) or catalogue().get(name)
    if wanted is not None:
        return fetch_model(wanted, progress)
    here = next((where for where, path in model_files() if path.stem == name), None)
    if here is None:
        raise unknown_model(name)
    raise WhetstoneError(
        "MODEL_LOCAL",
        f"The model {name!r} is on this machine already, and the Hub's catalogue has none of "
        "this name.",
    )


def fetch_model(wanted: HubModel, progress: Progress) -> LocalModel:
    """Download a model of the Hub into the user's folder."""
    return open_model("user", hub.download(wanted, user_folder(), progress))
