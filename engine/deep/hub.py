"""Models from the Hugging Face Hub: a pinned commit, and no file under its name unverified.

What has arrived when a download is cancelled, or when the connection breaks, is kept beside the
models under a hidden name, and the next try goes on from there.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..cards import file_hash, read_card
from ..errors import Cancelled, WhetstoneError
from ..library import HubModel
from ..types import PartOfProgress, Progress
from . import missing
from .weights import build_network, load_weights

#: Where downloads grow; from which age in seconds on such a folder was left by a killed one.
_ROOM, _OLD = ".download-", 24 * 3600.0
#: Errors after which what has arrived is worth keeping.
_WORTH_KEEPING = ("CANCELLED", "HUB_UNREACHABLE", "HUB_ERROR")


def download(model: HubModel, folder: Path, progress: Progress) -> Path:
    """Get a model into ``folder``; weights and card appear there only when they are right."""
    target = folder / f"{model.name}.safetensors"
    source = f"{model.repo}@{model.revision[:7]}"
    if model.sha256 and _sound_hash(target) == model.sha256:
        progress.message(f"{model.name} is in '{folder}' already.")
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        room = Path(tempfile.mkdtemp(prefix=_ROOM, dir=folder))
        part, kept = room / model.file, _kept(model, folder)
        part.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            os.replace(kept, part)  # a second download at the same time finds nothing and begins
    except OSError as error:
        raise WhetstoneError(
            "MODEL_WRITE",
            f"'{folder}' cannot be written: {error.strerror}.",
            "Set WHETSTONE_MODELS to a folder of yours.",
        ) from None
    try:
        card_file = _fetch(model, model.card, room, PartOfProgress(progress, 0.0, 0.05))
        card = read_card(card_file)
        wanted = model.sha256 or card.sha256
        if not wanted or card.sha256 != wanted:
            raise WhetstoneError(
                "HUB_HASH",
                f"The card of {model.name} in {source} has the SHA-256 {card.sha256[:12] or 'none'}"
                f"{', it must be ' + wanted[:12] if wanted else ''}.",
                "Nothing was kept.",
            )
        if _sound_hash(target) not in ("", wanted):
            raise WhetstoneError(
                "MODEL_EXISTS",
                f"'{target}' is another model of the same name.",
                "Rename or delete it and its card first.",
            )
        weights = _fetch(model, model.file, room, PartOfProgress(progress, 0.05, 1.0))
        found = file_hash(weights)
        if found != wanted:
            raise WhetstoneError(
                "HUB_HASH",
                f"{model.file} from {source} has the SHA-256 {found[:12]}..., it must be "
                f"{wanted[:12]}...",
                "Nothing was kept; try again, and do not use that file if it stays so.",
            )
        load_weights(weights, card, build_network(card))
        os.replace(card_file, target.with_suffix(".json"))
        os.replace(weights, target)  # last: models are found by their weights
    except WhetstoneError as error:
        if error.code in _WORTH_KEEPING:
            _keep(part, kept)
        if isinstance(error, Cancelled):
            raise
        # What is wrong was found in a folder that is about to go.
        message = error.message.replace(f"{room}{os.sep}", f"{source}/")
        raise WhetstoneError(error.code, message, error.hint) from None
    except OSError as error:
        raise WhetstoneError(
            "MODEL_WRITE", f"'{target}' could not be written: {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(room, ignore_errors=True)
    progress.update(1.0)
    return target


def _sweep(folder: Path) -> None:
    """Remove the folders of downloads that were killed; those at work are younger."""
    for room in folder.glob(f"{_ROOM}*"):
        with suppress(OSError):
            if time.time() - max(p.stat().st_mtime for p in (room, *room.rglob("*"))) > _OLD:
                shutil.rmtree(room, ignore_errors=True)


def _kept(model: HubModel, folder: Path) -> Path:
    """Where the beginning of a download waits for the next try."""
    return folder / f".{model.name}-{model.revision[:12]}.part"


def _keep(part: Path, kept: Path) -> None:
    """Put what has arrived aside. On Windows that fails while the transfer still holds it."""
    with suppress(OSError):
        if part.stat().st_size:
            os.replace(part, kept)


def _sound_hash(path: Path) -> str:
    """The hash of a model that is what its card says, "" if there is none or it is damaged."""
    with suppress(WhetstoneError, OSError):
        found = file_hash(path)
        if read_card(path.with_suffix(".json")).sha256 == found:
            return found
    return ""


def _fetch(model: HubModel, file: str, room: Path, progress: Progress) -> Path:
    """Download one file into ``room``, in a thread: a silent server must not hold up a cancel."""
    transfer = _Transfer(model, file, room)
    thread = threading.Thread(target=transfer.run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        progress.update(transfer.fraction, f"downloading {file}")
        if progress.cancelled():
            transfer.stopped = True
            thread.join(0.3)  # with luck it lets go of the file
            raise Cancelled()
    if transfer.error is not None:
        raise _in_words(transfer.error, model, file, transfer.endpoint) from None
    return room / file


class _Transfer:
    """One file on its way from the Hub, and how far it has come."""

    def __init__(self, model: HubModel, file: str, room: Path) -> None:
        self.model, self.file, self.room = model, file, room
        # The library reads this variable once, when it is imported.
        self.endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
        self.fraction = 0.0
        self.stopped = False
        self.error: Exception | None = None

    def run(self) -> None:
        """Download; what goes wrong is kept in ``error``."""
        try:
            self._transfer()
        except Exception as error:
            self.error = error

    def _transfer(self) -> None:
        """Not by ``hf_hub_download``: that begins anew at every call."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(
            self.model.repo, self.file, revision=self.model.revision, endpoint=self.endpoint
        )
        found = get_hf_file_metadata(url, endpoint=self.endpoint)
        if found.commit_hash is None:
            raise OSError("no Hub answers there, it lacks the header X-Repo-Commit")
        headers = build_hf_headers()
        if urlsplit(found.location).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)  # a token is for the Hub, not for its storage
        path = self.room / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            if found.size is not None and file.tell() > found.size:
                file.truncate(0)
                file.seek(0)
            http_get(
                found.location,
                file,
                resume_size=file.tell(),
                headers=headers,
                expected_size=found.size,
                tqdm_class=self._bar(),
            )

    def _bar(self) -> type[Any]:
        """A bar that draws nothing, and stops the transfer when asked to."""
        from huggingface_hub.utils import tqdm

        transfer = self

        class Bar(tqdm):
            """Counts bytes."""

            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **{**more, "disable": True})
                self.got = more.get("initial") or 0

            def update(self, n: float | None = 1) -> None:
                """Count; called for every piece that arrives."""
                if transfer.stopped:
                    raise Cancelled()
                self.got += n or 0
                transfer.fraction = self.got / self.total if self.total else 0.0

        return Bar


def _in_words(error: Exception, model: HubModel, file: str, endpoint: str) -> WhetstoneError:
    """What went wrong between us and the Hub."""
    if isinstance(error, ModuleNotFoundError):
        return missing(error.name or "huggingface_hub")
    cause = error.__cause__ if type(error) is ValueError and error.__cause__ else error
    if getattr(cause, "errno", None) == errno.ENOSPC:
        return WhetstoneError(
            "DISK_FULL", f"The disk is full; {file} could not be written.", "Make room, try again."
        )
    status = getattr(getattr(cause, "response", None), "status_code", None)
    what = f"{file} of {model.repo}@{model.revision[:7]}"
    if status in (401, 403, 404):
        return WhetstoneError(
            "HUB_NOT_FOUND",
            f"{endpoint} has no {what}, or keeps it private (status {status}).",
            "Check owner, repository, commit and file.",
        )
    if status is not None:
        return WhetstoneError(
            "HUB_ERROR", f"{endpoint} answered {what} with status {status}.", "Try again later."
        )
    reason = str(cause).strip().split("\n")[0] or type(cause).__name__
    return WhetstoneError(
        "HUB_UNREACHABLE",
        f"{what} could not be downloaded from {endpoint}: {reason.rstrip('.')}.",
        f"Check the connection and try again, or put {model.name}.safetensors and "
        f"{model.name}.json into the model folder by hand.",
    )
