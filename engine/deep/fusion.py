"""A fusion job by a deep model: which model, on which device, in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Iterator

from ..errors import WhetstoneError
from . import device as machine
from .inputs import estimate_scale
from .models import choose_model, describe_fit, find_model
from .scene import SceneSampler, Settings, Strip
from .weights import read_model

if TYPE_CHECKING:
    from ..classical import Scene
    from ..jobs import FuseJob
    from ..pair import Pair
    from ..types import Progress, Window

MOST_SAMPLES = 64


class DeepFusion:
    """The model of a job, loaded and checked against the pair before any work.

    Attributes:
        job: The job with the model it settled on, so that it can be repeated.
        tags: What the output says about the weights.
        notes: What the user should know.
    """

    def __init__(self, job: FuseJob, architecture: str, pair: Pair, threads: int) -> None:
        if not 1 <= job.samples <= MOST_SAMPLES:
            raise WhetstoneError(
                "SAMPLES", f"{job.samples} samples are asked for; 1 to {MOST_SAMPLES} can be."
            )
        sensor = pair.sensor.key
        if job.model is None:
            found, why = choose_model(architecture, pair.bands, pair.ratio, sensor)
        else:
            found = find_model(job.model, pair.progress)
            why = describe_fit(found, pair.bands, pair.ratio, sensor)
        if found.card.architecture != architecture:
            raise WhetstoneError(
                "MODEL_MISMATCH",
                f"{found.name} is a {found.card.architecture} model, not {architecture}.",
                f"Use --method {found.card.architecture}, or another model.",
            )
        device = machine.pick_device(job.device)
        self._model = read_model(found.path, device)
        self._settings = Settings(
            steps=job.steps,
            sampler=job.sampler,
            seed=job.seed,
            samples=job.samples,
            precision=job.precision,
            batch=job.batch,
            threads=threads,
            consistency=job.consistency,
        )
        self._sampler = SceneSampler(self._model, pair, self._settings)
        self.job = replace(job, model=str(found.path) if found.where == "path" else found.name)
        self.tags = {
            "WHETSTONE_MODEL": found.name,
            "WHETSTONE_MODEL_SHA256": found.card.sha256,
            "WHETSTONE_SEED": str(job.seed),
        }
        self.notes = [why, self._how()]

    def _how(self) -> str:
        sampler, s = self._sampler, self._settings
        steps = f"{sampler.steps} step{'s' if sampler.steps > 1 else ''} of {s.sampler}"
        samples = f", mean of {s.samples} samples" if s.samples > 1 else ""
        where = machine.version_text(self._model.device)
        precision = f"{sampler.precision} ({sampler.precision_reason})"
        return f"{steps}{samples}, seed {s.seed}, {precision} on {where}."

    def strips(
        self, pair: Pair, scene: Scene, area: Window, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """Estimate, then the finished rows of the area; ``pair`` may have been moved since."""
        self._sampler.pair = pair
        scale = estimate_scale(self._model.card.normalisation, scene)
        return self._sampler.strips(area, scale, first_row, progress)
