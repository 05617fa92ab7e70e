"""A fusion job by a deep model: which model, on which device, in which words."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Iterator

from ..errors import WhetstoneError
from ..jobs import NOISES, PRESETS, STATISTICS
from ..library import choose_model, describe_fit
from ..types import PartOfProgress
from . import device as machine
from .crossdiff_scene import CrossDiffScene
from .inputs import Scale, estimate_scale
from .models import find_model
from .presharpen import Presharpener
from .sampling import Settings
from .scene import SceneSampler
from .weights import read_model

if TYPE_CHECKING:
    from ..classical import Scene
    from ..jobs import FuseJob
    from ..pair import Pair
    from ..types import Progress, Window
    from .forecast import Forecast
    from .strip import Strip

MOST_SAMPLES = 64
#: Deviations between two scenes from which on a model of one is doubtful for the other, or refused.
UNLIKE, MOST_UNLIKE = 1.5, 4.0


class DeepFusion:
    """The model of a job, loaded and checked against the pair before any work.

    Attributes:
        job: The job with the model it settled on, so that it can be repeated.
        tags: What the output says about the weights.
        notes: What the user should know.
    """

    def __init__(self, job: FuseJob, architecture: str, pair: Pair, threads: int) -> None:
        if not 0 <= job.seed < 2**64:
            raise WhetstoneError("SEED", f"The seed is {job.seed}; it must be 0 to 2^64 - 1.")
        if not 1 <= job.samples <= MOST_SAMPLES:
            raise WhetstoneError(
                "SAMPLES", f"{job.samples} samples are asked for; 1 to {MOST_SAMPLES} can be."
            )
        sensor = pair.sensor.key
        if job.model is None:
            found, why = choose_model(architecture, pair.bands, pair.ratio, sensor)
        else:
            found = find_model(job.model, PartOfProgress(pair.progress, 0.0, 0.05))
            why = describe_fit(found, pair.bands, pair.ratio, sensor)
        if found.card.architecture != architecture:
            raise WhetstoneError(
                "MODEL_MISMATCH",
                f"{found.name} is a {found.card.architecture} model, not {architecture}.",
                f"Use --method {found.card.architecture}, or another model.",
            )
        if found.card.base != "lms" and job.protocol == "toolbox":
            raise WhetstoneError(
                "TOOLBOX_BASE",
                f"The model {found.name} goes on from MTF-GLP-FS by the true geometry, which the "
                "toolbox protocol does not know.",
                "Use the product protocol, or another model.",
            )
        if architecture == "crossdiff":
            job = _settled(job)
        device = machine.pick_device(job.device)
        statistics = found.card.statistics if job.statistics == "auto" else job.statistics
        self._settings = Settings(
            steps=job.steps,
            sampler=job.sampler,
            seed=job.seed,
            samples=job.samples,
            precision=job.precision,
            batch=job.batch,
            threads=threads,
            consistency=job.consistency,
            noise=job.noise,
            statistics=statistics,
            reference=job.preset == "reference",
        )
        in_windows = statistics == "window" and job.preset != "reference"
        try:
            self._model = read_model(found.path, device)
            make = SceneSampler if in_windows or architecture == "ssdiff" else CrossDiffScene
            self._sampler: SceneSampler | CrossDiffScene = make(self._model, pair, self._settings)
        except (RuntimeError, MemoryError) as error:
            if not machine.is_out_of_memory(error):
                raise
            raise machine.too_small(device, f"The model {found.name}") from None
        path = str(found.path.resolve())
        self.job = replace(job, model=path if found.where == "path" else found.name)
        self.tags = {
            "WHETSTONE_MODEL": found.name,
            "WHETSTONE_MODEL_SHA256": found.card.sha256,
            "WHETSTONE_SEED": str(job.seed),
        }
        #: What decides the pixels and is not in the job.
        self.identity = [found.card.to_json(), str(device), self._sampler.precision]
        self.notes = [why, *self._band_note(pair), self._how()]

    @property
    def moves_pan(self) -> bool:
        """Whether the model knows PAN and MS on each other only."""
        return self._model.card.base != "lms"

    def _band_note(self, pair: Pair) -> list[str]:
        mine, theirs = self._model.card.roles, pair.sensor.roles
        if not mine or not all(theirs) or self._sampler.knows_bands:
            return []
        return [
            f"The model was trained on the bands {', '.join(mine)}; this image has "
            f"{', '.join(theirs)}. Judge the colours with care."
        ]

    def _how(self) -> str:
        sampler, s = self._sampler, self._settings
        samples = f", mean of {s.samples} samples" if s.samples > 1 else ""
        where = machine.version_text(self._model.device)
        precision = f"{sampler.precision} ({sampler.precision_reason})"
        return f"{sampler.describe()}{samples}, {precision} on {where}."

    def forecast(self, area: Window) -> Forecast | None:
        """What fusing ``area`` will cost.

        None where the memory is too small to try it; sampling then goes on with smaller pieces.
        """
        try:
            return self._sampler.forecast(area)
        except (RuntimeError, MemoryError) as error:
            if not machine.is_out_of_memory(error):
                raise
            machine.release(self._model.device)
            return None

    def strips(
        self, pair: Pair, scene: Scene, area: Window, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """Estimate, then the finished rows of the area; ``pair`` may have been moved since."""
        sampler = self._sampler
        sampler.pair = pair
        if self._model.card.base == "glp":
            sampler.base = Presharpener(scene)
            sampler.pair = sampler.base.pair
            progress.message(sampler.base.note)
            self.notes.append(sampler.base.note)
        self._check_range(scene, progress)
        scale = estimate_scale(self._model.card.normalisation, scene)
        if self._model.card.normalisation["kind"] == "fixed":
            scale = scale.ordered(sampler.groups[0])
            self._check_likeness(scene, scale, progress)
        return sampler.strips(area, scale, first_row, progress)

    def _check_range(self, scene: Scene, progress: Progress) -> None:
        """Refuse images brighter than a model that divides by a fixed number can show."""
        card = self._model.card
        if card.normalisation["kind"] != "full_scale" or card.limits[1] is None:
            return
        full = card.normalisation["value"] * card.limits[1]
        pan, ms = scene.percentiles(99)
        top = max(pan, float(ms.max()))
        if top > full:
            raise WhetstoneError(
                "MODEL_RANGE",
                f"The model {card.name} knows values up to {full:g}; one percent of this scene "
                f"lies above {top:g}.",
                "Choose a model that is scaled to the scene, or rescale the images.",
            )
        if top < 0.1 * full:
            progress.message(
                f"The model {card.name} was trained on values up to {full:g}; 99 % of this scene "
                f"lies below {top:g}. Judge the result with care."
            )

    def _check_likeness(self, scene: Scene, scale: Scale, progress: Progress) -> None:
        """Refuse scenes that are much brighter or darker than the one a model was adapted to."""
        pan, ms = scene.percentiles(50)
        away = [abs(pan - scale.pan_offset) / scale.pan, *(abs(ms - scale.ms_offset) / scale.ms)]
        most, name = float(max(away)), self._model.card.name
        told = (
            f"The medians of this scene lie up to {most:.1f} deviations from the means of the one "
            f"that {name} was adapted to"
        )
        if most > MOST_UNLIKE:
            raise WhetstoneError(
                "MODEL_RANGE",
                f"{told}; {MOST_UNLIKE:g} is the most.",
                "Adapt a model to this scene (whetstone adapt).",
            )
        if most > UNLIKE:
            progress.message(f"{told}. Judge the result with care, or adapt a model to this scene.")


def _settled(job: FuseJob) -> FuseJob:
    """The job with its noise decided, so that it can be repeated: fresh noise becomes a seed."""
    for key, known in (("noise", NOISES), ("statistics", STATISTICS), ("preset", PRESETS)):
        if getattr(job, key) not in known:
            raise WhetstoneError(
                key.upper(),
                f"There is no {key} {getattr(job, key)!r}.",
                f"Choose {', '.join(known)}.",
            )
    if job.preset == "reference" and (job.coregister or job.statistics != "auto"):
        raise WhetstoneError(
            "REFERENCE",
            "The reference preset ties arrays by their indices and takes the statistics of the "
            "whole input, without --coregister and --statistics.",
            "Leave these or the preset out.",
        )
    noise, seed = job.noise, job.seed
    if noise == "auto":
        fresh = job.preset == "reference"
        noise = "random" if fresh else "zero" if job.samples == 1 else "fixed"
    if noise == "zero" and job.samples > 1:
        raise WhetstoneError(
            "SAMPLES",
            f"Without noise all {job.samples} samples are the same.",
            "Ask for --noise fixed, or for one sample.",
        )
    if noise == "random":
        noise, seed = "fixed", secrets.randbits(63)
    return replace(job, noise=noise, seed=seed)
