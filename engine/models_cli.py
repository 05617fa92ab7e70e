"""The verb ``models``: list, show, download, import and verify the models of the deep methods."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple

from . import deep, library
from .command import sensor_name
from .errors import Cancelled, WhetstoneError
from .flags import WrongCall

if TYPE_CHECKING:
    from argparse import Namespace

    from .types import Progress


@dataclass(frozen=True)
class ModelList:
    """One row per model, and the user's model folder. ``where`` is "bundled", "user" or "hub"."""

    models: Tuple[Dict[str, Any], ...]
    folder: str
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelShown:
    """A model on this machine and its whole card."""

    name: str
    path: str
    where: str
    bytes: int
    card: Dict[str, Any]
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCheck:
    """Per model: whether its file is what its card says and loads; ``failed`` if any is not."""

    models: Tuple[Dict[str, Any], ...]
    failed: bool
    notes: Tuple[str, ...] = ()


def models(args: Namespace, progress: Progress) -> ModelList | ModelShown | ModelCheck:
    """Do what the words after ``whetstone models`` say."""
    return ACTS[args.act](args, progress)


def _list(args: Namespace, progress: Progress) -> ModelList:
    rows, notes = [], []
    for where, path in library.model_files():
        try:
            card = library.open_model(where, path).card
        except WhetstoneError as error:
            notes.append(f"left out: {error.message}")
            continue
        rows.append(
            {
                "name": path.stem,
                "architecture": card.architecture,
                "bands": card.bands,
                "ratio": card.ratio,
                "sensors": list(card.sensors),
                "where": where,
                "path": str(path),
                "bytes": path.stat().st_size,
            }
        )
    here = {path.stem for _, path in library.model_files()}
    rows += [{"name": name, "where": "hub"} for name in library.catalogue() if name not in here]
    return ModelList(tuple(rows), str(library.user_folder()), tuple(notes))


def _show(args: Namespace, progress: Progress) -> ModelShown:
    model = library.find_local(args.name)
    if model is not None:
        return _shown(model)
    if args.name in library.catalogue():
        raise WhetstoneError(
            "MODEL_MISSING",
            f"The model {args.name} is on the Hub, and not on this machine.",
            f"Get it: whetstone models download {args.name}",
        )
    raise library.unknown_model(args.name)


def _download(args: Namespace, progress: Progress) -> ModelShown:
    return _shown(deep.part("models").download_model(args.name, progress))


def _import(args: Namespace, progress: Progress) -> ModelShown:
    sources, out = [Path(file) for file in args.files], Path(args.out)
    if len(sources) not in (1, 3):
        raise WrongCall(
            "USAGE",
            f"{len(sources)} files are given; a model of SSDiff is one checkpoint, one of "
            "CrossDiff is three: P2M, M2P and head.",
        )
    if out.suffix != ".safetensors":
        raise WrongCall("USAGE", f"--out {out} must end in .safetensors.")
    if not 0 < args.full_scale < inf:
        raise WrongCall("USAGE", f"--full-scale {args.full_scale:g} must be above 0.")
    if not 1 < args.ratio < inf:
        raise WrongCall("USAGE", f"--ratio {args.ratio:g} must be above 1.")
    last, top = max(args.timesteps, default=0), deep.part("schedule").TIMESTEPS
    if last > top:
        raise WrongCall("USAGE", f"--timesteps {last} must be {top} or less.")
    if out.exists() and any(source.exists() and out.samefile(source) for source in sources):
        raise WrongCall("USAGE", "--out is the checkpoint itself.", "Give another name.")
    sensor = sensor_name(args.sensor) if args.sensor else ""
    deep.part("release").import_checkpoint(
        sources, out, sensor, args.full_scale, args.ratio, args.timesteps
    )
    return _shown(library.open_model("path", out))


def _verify(args: Namespace, progress: Progress) -> ModelCheck:
    weights = deep.part("weights")
    files = library.model_files()
    rows = []
    for number, (where, path) in enumerate(files):
        if progress.cancelled():
            raise Cancelled()
        progress.update(number / len(files), f"loading {path.stem}")
        trouble = ""
        try:
            weights.read_model(path)
        except WhetstoneError as error:
            trouble = str(error)
        rows.append(
            {
                "name": path.stem,
                "where": where,
                "path": str(path),
                "ok": not trouble,
                "trouble": trouble,
            }
        )
    return ModelCheck(tuple(rows), any(row["trouble"] for row in rows))


def _shown(model: Any) -> ModelShown:
    size = model.path.stat().st_size
    return ModelShown(model.name, str(model.path), model.where, size, asdict(model.card))


ACTS: dict[str, Callable[[Any, Any], ModelList | ModelShown | ModelCheck]] = {
    "list": _list,
    "show": _show,
    "download": _download,
    "import": _import,
    "verify": _verify,
}
