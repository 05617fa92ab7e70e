"""Configs: what a training script is told in a TOML file, one dataclass per architecture."""

from __future__ import annotations

import sys
from dataclasses import MISSING, asdict, dataclass, fields
from math import cos, inf, lcm, pi
from pathlib import Path
from typing import Any, ClassVar

from whetstone.engine.cards import BASES, STATISTICS, Card
from whetstone.engine.deep import crossdiff, ssdiff
from whetstone.engine.deep.losses import CORRELATION_WEIGHT
from whetstone.engine.deep.schedule import SCHEDULES, SPACINGS, TIMESTEPS, respaced
from whetstone.engine.errors import WhetstoneError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).resolve().parent / "configs"
CHOICES = {
    "schedule": tuple(SCHEDULES),
    "normalisation": ("full_scale", "percentile", "standard"),
    "spacing": tuple(SPACINGS),
    "precision": ("no", "bf16"),
    "finest_level": crossdiff.FINEST_LEVELS,
    "gate": crossdiff.GATES,
    "noise": ("zero", "random", "mixed"),
    "objective": ("reduced", "full", "both"),
    "loss": ("physical", "reference"),
    "statistics": STATISTICS,
    "base": BASES,
}
#: Types of TOML values by the annotation of a field; the others are lists.
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
}


@dataclass(frozen=True)
class Config:
    """What the configs of both architectures say; flat, sections in the file only order it.

    Attributes:
        bands, ratio: Of the images.
        normalisation, normalisation_value, limits, roles: For the model card.
        sensors: For the card; without it, those that the patches name. Patches that name none are
            of the first.
        own_share: Share of the patches that are of scenes of ``sensors``; 0: by their area.
        base: What the network gets for the LMS, see ``engine.deep.presharpen``.
        patch: Side of a patch in PAN pixels.
        window: Side of the windows of sampling, which the last training should have had.
        augment: Flips and rotations.
        any_bands: Random band subsets in random order, so that the bands lose their meaning.
        ordered: With ``any_bands``: share of the patches that have the bands of ``roles`` in their
            order, where the scene has them.
        jitter: Deviation of random offsets, and of the logarithm of random gains, that PAN and each
            band of a patch get (images of mean 0 and deviation 1).
        iterations, batch: Optimiser steps, and patches per step over all processes.
        lr, lr_end: Learning rate at the start and, by a cosine, at the end.
        warmup: Steps over which the learning rate rises from zero.
        clip: Largest norm of the gradient, 0 for none.
        ema: Decay of the averaged weights.
        precision: "no" (float32) or "bf16".
        seed: Of weights, patches, timesteps and noise.
        validate_every: How often.
    """

    architecture: ClassVar[str]
    stride: ClassVar[int]
    #: Keys that count something, so that they are 1 at least.
    counts: ClassVar[tuple[str, ...]] = ("bands", "iterations", "batch", "validate_every")

    bands: int
    iterations: int
    ratio: int = 4
    normalisation: str = "full_scale"
    normalisation_value: float = 2047.0
    limits: tuple[float | None, float | None] = (0.0, 1.0)
    roles: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    own_share: float = 0.0
    base: str = "lms"
    patch: int = 64
    window: int = 64
    augment: bool = True
    any_bands: bool = False
    ordered: float = 0.0
    jitter: float = 0.0
    batch: int = 20
    lr: float = 1e-3
    lr_end: float = 1e-3
    warmup: int = 0
    clip: float = 0.0
    ema: float = 0.9999
    precision: str = "no"
    seed: int = 1
    validate_every: int = 1000

    def learning_rate(self, step: int) -> float:
        """The rate of a step."""
        share = step / max(self.iterations, 1)
        rate = self.lr_end + (self.lr - self.lr_end) * (1 + cos(pi * share)) / 2
        return rate * min(1.0, (step + 1) / (self.warmup + 1))

    @property
    def scaling(self) -> dict[str, Any]:
        """The normalisation as model cards state it."""
        if self.normalisation == "standard":
            return {"kind": "standard"}
        return {"kind": self.normalisation, "value": self.normalisation_value}

    def card(self, name: str, patches: Path, phase: float, sensors: tuple[str, ...]) -> Card:
        """The model card of a run with this config on patches of a phase and of some sensors."""
        return Card(
            name=name,
            architecture=self.architecture,
            bands=self.bands,
            ratio=self.ratio,
            roles=self.roles,
            sensors=self.sensors or sensors,
            window=self.window,
            normalisation=self.scaling,
            base=self.base,
            limits=self.limits,
            training={"patches": patches.name, "config": asdict(self)},
            **self._of_architecture(phase),
        )

    def _of_architecture(self, phase: float) -> dict[str, Any]:
        """What the card of this architecture says beside that."""
        raise NotImplementedError

    def trouble(self) -> str:
        """What cannot be trained so, "" if all can."""
        if low := [key for key in self.counts if getattr(self, key) < 1]:
            return f"{', '.join(low)} must be at least 1"
        step = lcm(self.stride, max(self.ratio, 1))
        if not (0 <= self.ordered <= 1 and 0 <= self.own_share <= 1) or self.jitter < 0:
            return "ordered and own_share are shares, 0 to 1, and jitter must not be negative"
        if self.own_share and not self.sensors:
            return "own_share is of the scenes of sensors, which are not named"
        if self.ordered and not (self.any_bands and self.roles):
            return "ordered means something with any_bands = true and roles only"
        if self.jitter and self.normalisation != "standard":
            return 'jitter is of images of mean 0 and deviation 1: normalisation = "standard"'
        for key in ("patch", "window"):
            if getattr(self, key) < 2 * step or getattr(self, key) % step:
                return f"{key} must be a multiple of {step}, {2 * step} or more"
        return ""


@dataclass(frozen=True)
class SSDiffConfig(Config):
    """A config of SSDiff, which is what a TOML without ``architecture`` is.

    Attributes:
        width, share_resample: The network.
        schedule, spacing, residual_scale: The diffusion.
        validate_steps: Sampling steps of validation.
        period: L-BAF: iterations per block of one branch.
        draws: Distillation: noises whose samples the teacher averages.
        truth_weight: Distillation: weight of the L1 to the truth beside that to the teacher.
    """

    architecture: ClassVar[str] = "ssdiff"
    stride: ClassVar[int] = ssdiff.STRIDE
    counts: ClassVar[tuple[str, ...]] = (*Config.counts, "period", "draws")

    width: int = 32
    share_resample: bool = False
    schedule: str = "cosine"
    spacing: str = "leading"
    residual_scale: float = 1.0
    validate_steps: int = 10
    period: int = 1000
    draws: int = 4
    truth_weight: float = 1.0

    def _of_architecture(self, phase: float) -> dict[str, Any]:
        return {
            "parameters": {
                "bands": self.bands,
                "ratio": self.ratio,
                "width": self.width,
                "share_resample": self.share_resample,
            },
            "phase": phase,
            "residual_scale": self.residual_scale,
            "schedule": {
                "kind": self.schedule,
                "timesteps": TIMESTEPS,
                **({"spacing": self.spacing} if self.spacing != "leading" else {}),
            },
            "steps": self.validate_steps,
        }

    def trouble(self) -> str:
        """What cannot be trained so; steps that cannot be spread are refused."""
        trouble = super().trouble()
        respaced(TIMESTEPS, self.validate_steps)
        return trouble


@dataclass(frozen=True)
class CrossDiffConfig(Config):
    """A config of CrossDiff (``architecture = "crossdiff"``); keys of the other stage do nothing.

    Attributes:
        timesteps: Timesteps (1 to 1000) at which the head gets features.
        width: Of the networks, see ``CrossDiff``; so are ``finest_level`` and ``gate`` of the head.
        dropout: Stage 1: share of the patches whose condition is dropped.
        guidance: Stage 1: weight of the guidance in validation's samples, 0 for none.
        small_t: Stage 1: share of the timesteps drawn from 1 to 200 instead of 1 to 1000.
        noise: Stage 2: what the encoders see: "zero", "random", or "mixed", half of a batch each.
        objective: Stage 2: "reduced", L1 to the truth; "full", without truth; "both" together.
        full_weight: Of the objective without truth beside the other; it is reached half-way.
        loss: Without truth: "physical", or "reference" as the authors mean it.
        correlation_weight: Of the local correlation with PAN in the physical loss.
        statistics: Where those of norms and gates come from in use. With "scene" the encoders get
            in stage 2, too, what their norms see of the patch's scene.
    """

    architecture: ClassVar[str] = "crossdiff"
    stride: ClassVar[int] = crossdiff.STRIDE

    batch: int = 32
    lr: float = 3e-4
    lr_end: float = 3e-4
    width: int = crossdiff.WIDTHS[0]
    timesteps: tuple[int, ...] = crossdiff.FEATURE_TIMESTEPS
    finest_level: str = "live"
    gate: str = "leaky"
    dropout: float = 0.1
    guidance: float = 1.0
    small_t: float = 0.0
    noise: str = "mixed"
    objective: str = "reduced"
    full_weight: float = 0.5
    loss: str = "physical"
    correlation_weight: float = CORRELATION_WEIGHT
    statistics: str = "scene"

    def _of_architecture(self, phase: float) -> dict[str, Any]:
        return {
            "parameters": {
                "bands": self.bands,
                "timesteps": list(self.timesteps),
                "finest_level": self.finest_level,
                "gate": self.gate,
                "centred": self.normalisation == "standard",
                **({"width": self.width} if self.width != crossdiff.WIDTHS[0] else {}),
            },
            "statistics": self.statistics,
        }

    def trouble(self) -> str:
        """What cannot be trained so, "" if all can."""
        if trouble := super().trouble():
            return trouble
        for key in ("dropout", "small_t"):
            if not 0 <= getattr(self, key) <= 1:
                return f"{key} is a share, 0 to 1"
        for key in ("guidance", "full_weight", "correlation_weight"):
            if getattr(self, key) < 0:
                return f"{key} must not be negative"
        if self.statistics == "scene" and self.any_bands:
            return 'any_bands leaves no bands to have statistics of a scene: statistics = "window"'
        if self.loss == "reference" and self.normalisation == "standard":
            return 'loss = "reference" is of images from 0 to 1; "standard" gives them mean 0'
        return ""


KINDS: dict[str, type[Config]] = {
    kind.architecture: kind for kind in (SSDiffConfig, CrossDiffConfig)
}


def read_config(name: str) -> Config:
    """A config by its path, or by its name in training/configs; what does not fit is refused."""
    path = Path(name) if name.endswith(".toml") else CONFIGS / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        message = f"There is no config '{path}'."
        raise WhetstoneError("CONFIG", message, f"Known: {known}.") from None
    except tomllib.TOMLDecodeError as error:
        raise WhetstoneError("CONFIG", f"'{path}' is not TOML: {error}.") from None
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    architecture = flat.pop("architecture", SSDiffConfig.architecture)
    if architecture not in KINDS:
        raise WhetstoneError("CONFIG", f"'{path}' cannot have architecture = {architecture!r}.")
    kind = KINDS[architecture]
    known_keys = {f.name: f for f in fields(kind)}
    unknown = sorted(set(flat) - set(known_keys))
    missing = sorted({k for k, f in known_keys.items() if f.default is MISSING} - set(flat))
    if unknown or missing:
        what = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        raise WhetstoneError("CONFIG", f"'{path}' does not fit ({what}).")
    for key, value in flat.items():
        kinds = TYPES.get(str(known_keys[key].type), (list,))
        choices = CHOICES.get(key, (value,))
        if type(value) not in kinds or value not in choices:
            raise WhetstoneError("CONFIG", f"'{path}' cannot have {key} = {value!r}.")
    flat = {k: tuple(v) if isinstance(v, list) else v for k, v in flat.items()}
    if "limits" in flat:  # TOML has no null: an infinite limit is an open one
        flat["limits"] = tuple(None if abs(v) == inf else v for v in flat["limits"])
    config = kind(**flat)
    if trouble := config.trouble():
        raise WhetstoneError("CONFIG", f"'{path}': {trouble}.")
    return config
