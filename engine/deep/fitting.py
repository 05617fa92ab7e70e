"""An adaptation job: which model it starts from, what its windows are, which card it gets."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from .. import __version__
from ..cards import Card
from ..classical import Scene
from ..errors import WhetstoneError
from ..library import RATIO_TOLERANCE, LocalModel, list_models
from ..types import PartOfProgress, Progress
from . import device as machine
from .adaptation import Adaptation, Outcome
from .bands import band_groups
from .chunks import full, read_chunks, reduced
from .crossdiff import CrossDiff
from .inputs import as_fixed
from .models import find_model
from .presharpen import Presharpener
from .statistics import statistics
from .weights import build_network, load_weights, save_model

if TYPE_CHECKING:
    from ..jobs import AdaptJob
    from ..pair import Pair
    from ..registration import Shift

SCRATCH = "scratch"


class Start(NamedTuple):
    """Where training starts; ``model`` is None for fresh weights."""

    model: LocalModel | None
    why: str


def find_start(job: AdaptJob, pair: Pair, progress: Progress) -> Start:
    """The model of the job, or the best that has the bands of the pair.

    Raises:
        WhetstoneError: ``MODEL_UNKNOWN``, ``MODEL_MISMATCH``.
    """
    if job.start == SCRATCH:
        return Start(None, "From scratch, as asked for.")
    if job.start is None:
        best = _best_fit(pair)
        if best is None:
            return Start(
                None,
                f"From scratch: no CrossDiff model here has {pair.bands} bands and this ratio.",
            )
        return Start(best, f"From the model {best.name}.")
    found = find_model(job.start, progress)
    card = found.card
    if card.architecture != "crossdiff" or card.bands != pair.bands:
        raise WhetstoneError(
            "MODEL_MISMATCH",
            f"{found.name} is a {card.architecture} model of {card.bands} bands; to adapt to this "
            f"image, it must be a CrossDiff model of {pair.bands}.",
            f"Name another one, or start with --from {SCRATCH}.",
        )
    return Start(found, f"From the model {found.name}.")


def _best_fit(pair: Pair) -> LocalModel | None:
    """The CrossDiff model of the pair's bands and ratio, of its sensor if there is one."""
    fitting = [
        model
        for model in list_models()
        if model.card.architecture == "crossdiff"
        and model.card.bands == pair.bands
        and abs(pair.ratio / model.card.ratio - 1) <= RATIO_TOLERANCE
        and model.card.normalisation["kind"] != "fixed"  # of another scene
    ]

    def badness(model: LocalModel) -> tuple[bool, float]:
        card = model.card
        return pair.sensor.key not in card.sensors, abs(pair.ratio / card.ratio - 1)

    return min(fitting, key=badness, default=None)


def order_of(start: Start, pair: Pair) -> list[int] | None:
    """The bands of the pair in the order of the model; None where they are, or nobody knows."""
    if start.model is None:
        return None
    (order,) = band_groups(pair.bands, pair.bands, pair.sensor.roles, start.model.card.roles)
    return order if order != sorted(order) else None


def fit(
    job: AdaptJob,
    pair: Pair,
    start: Start,
    shift: Shift | None,
    threads: int,
    deadline: float,
    progress: Progress,
) -> tuple[Outcome, Card, float]:
    """Train and write the model; the outcome, the card, and the percentage that was held out.

    ``deadline`` is in the time of ``time.monotonic``.
    """
    device = machine.pick_device(job.device)
    machine.prepare(device, threads)
    card = _card(job, pair, start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        network = cast(CrossDiff, build_network(card))
    if start.model is not None:
        load_weights(start.model.path, start.model.card, network)
    else:
        network.head.add_nothing()
    try:
        first, second = (PartOfProgress(progress, a, a + 0.015) for a in (0.02, 0.035))

        def base_of(seen: Pair) -> Presharpener:
            return Presharpener(Scene(seen, threads, Progress()))

        make = base_of if card.base == "glp" else None
        small = read_chunks(*reduced(pair, shift, make), hold_out=True, progress=first)
        large = read_chunks(*full(pair, shift, make), hold_out=False, progress=second)
        left = deadline - time.monotonic()
        if left <= 0:
            raise WhetstoneError(
                "TIME",
                f"The {job.minutes:g} minutes were over before training began.",
                "Give it more (--minutes).",
            )
        if card.normalisation["kind"] not in ("full_scale", "fixed"):
            # of this scene, so that parts of it and its full resolution are treated alike
            card = replace(card, normalisation=as_fixed(small.scale(card.normalisation)))
        network.to(device)
        for layer in statistics(network):
            layer.move(device)
        adaptation = Adaptation(
            network,
            small,
            large,
            pair,
            objective=job.objective,
            scale=small.scale(card.normalisation),
            seed=job.seed,
            seconds=left,
            steps=job.steps,
            progress=PartOfProgress(progress, 0.05, 1.0),
        )
        outcome = adaptation.run(from_scratch=start.model is None)
    except (RuntimeError, MemoryError) as error:
        if not machine.is_out_of_memory(error):
            raise
        raise machine.too_small(device, "The training") from None
    training = {**card.training, "steps": outcome.steps, "ended": outcome.ended}
    card = replace(card, window=small.patch, training=training, scores={"held out": outcome.scores})
    return outcome, save_model(Path(job.out), network, card), small.held_out_percent


def _card(job: AdaptJob, pair: Pair, start: Start) -> Card:
    """The card of the model to come; its inputs are made as those of the one it starts from."""
    roles = pair.sensor.roles
    facts: dict[str, Any] = {
        "adapted_to": {
            **{name: _names(source.paths) for name, source in (("pan", job.pan), ("ms", job.ms))},
            "sensor": pair.sensor.key,
            "pan_pixels": [pair.scene.width, pair.scene.height],
        },
        "objective": job.objective,
        "minutes": job.minutes,
        "seed": job.seed,
        "whetstone": __version__,
    }
    licence = "that of the images it was adapted to"
    common: dict[str, Any] = {
        "name": Path(job.out).stem,
        "ratio": pair.ratio,
        "roles": roles if all(roles) else (),
        "sensors": (pair.sensor.key,),
    }
    if start.model is None:
        return Card(
            architecture="crossdiff",
            parameters={"bands": pair.bands, "centred": True},
            bands=pair.bands,
            normalisation={"kind": "standard"},
            base="glp",
            statistics="model",
            limits=(None, None),
            training=facts,
            licence=licence,
            **common,
        )
    base = start.model.card
    facts["from"] = {"name": base.name, "sha256": base.sha256, "training": base.training}
    return replace(
        base,
        training=facts,
        statistics="model",
        licence=f"{licence}; of the weights it started from: {base.licence or 'not stated'}",
        sha256="",
        **common,
    )


def _names(paths: tuple[str, ...]) -> str:
    return ", ".join(os.path.basename(path) for path in paths)
