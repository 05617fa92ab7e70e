"""What a training script is told: its config, its arguments; and how it says what is wrong."""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, asdict, dataclass, fields
from math import cos, inf, lcm, pi
from pathlib import Path
from typing import Any, Callable

from whetstone.engine.deep.schedule import SCHEDULES, TIMESTEPS, respaced
from whetstone.engine.deep.ssdiff import STRIDE
from whetstone.engine.deep.weights import Card
from whetstone.engine.errors import WhetstoneError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).resolve().parent / "configs"
CHOICES = {
    "schedule": tuple(SCHEDULES),
    "normalisation": ("full_scale", "percentile", "standard"),
    "spacing": ("leading", "trailing"),
    "precision": ("no", "bf16"),
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
    """A TOML config, flat; unknown keys are refused. Sections in the file only order it.

    Attributes:
        bands, ratio, width, share_resample: The network.
        schedule, spacing, residual_scale: The diffusion.
        normalisation, normalisation_value, limits, roles: For the model card.
        sensors: For the card; without it, those that the patches name.
        patch: Side of a patch in PAN pixels.
        window: Side of the windows of sampling, which the last training should have had.
        augment: Flips and rotations.
        any_bands: Random band subsets in random order, so that the bands lose their meaning.
        iterations, batch: Optimiser steps, and patches per step over all processes.
        lr, lr_end: Learning rate at the start and, by a cosine, at the end.
        warmup: Steps over which the learning rate rises from zero.
        clip: Largest norm of the gradient, 0 for none.
        ema: Decay of the averaged weights.
        precision: "no" (float32) or "bf16".
        seed: Of weights, patches, timesteps and noise.
        validate_every, validate_steps: How often, and with how many sampling steps.
        period: L-BAF: iterations per block of one branch.
        draws: Distillation: noises whose samples the teacher averages.
        truth_weight: Distillation: weight of the L1 to the truth beside that to the teacher.
    """

    bands: int
    iterations: int
    ratio: int = 4
    width: int = 32
    share_resample: bool = False
    schedule: str = "cosine"
    spacing: str = "leading"
    residual_scale: float = 1.0
    normalisation: str = "full_scale"
    normalisation_value: float = 2047.0
    limits: tuple[float | None, float | None] = (0.0, 1.0)
    roles: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    patch: int = 64
    window: int = 64
    augment: bool = True
    any_bands: bool = False
    batch: int = 20
    lr: float = 1e-3
    lr_end: float = 1e-3
    warmup: int = 0
    clip: float = 0.0
    ema: float = 0.9999
    precision: str = "no"
    seed: int = 1
    validate_every: int = 1000
    validate_steps: int = 10
    period: int = 1000
    draws: int = 4
    truth_weight: float = 1.0

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
            architecture="ssdiff",
            parameters={
                "bands": self.bands,
                "ratio": self.ratio,
                "width": self.width,
                "share_resample": self.share_resample,
            },
            bands=self.bands,
            ratio=self.ratio,
            roles=self.roles,
            sensors=self.sensors or sensors,
            window=self.window,
            phase=phase,
            normalisation=self.scaling,
            limits=self.limits,
            residual_scale=self.residual_scale,
            schedule={
                "kind": self.schedule,
                "timesteps": TIMESTEPS,
                **({"spacing": self.spacing} if self.spacing != "leading" else {}),
            },
            steps=self.validate_steps,
            training={"patches": patches.name, "config": asdict(self)},
        )


def read_config(name: str) -> Config:
    """A config by its path, or by its name in training/configs."""
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
    known_keys = {f.name: f for f in fields(Config)}
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
    config = Config(**flat)
    _check_numbers(config, path)
    return config


def _check_numbers(config: Config, path: Path) -> None:
    positive = ("bands", "iterations", "batch", "validate_every", "period", "draws")
    if low := [key for key in positive if getattr(config, key) < 1]:
        raise WhetstoneError("CONFIG", f"'{path}': {', '.join(low)} must be at least 1.")
    step = lcm(STRIDE, max(config.ratio, 1))
    for key in ("patch", "window"):
        if getattr(config, key) < 2 * step or getattr(config, key) % step:
            raise WhetstoneError(
                "CONFIG", f"'{path}': {key} must be a multiple of {step}, {2 * step} or more."
            )
    respaced(TIMESTEPS, config.validate_steps)  # refuses steps that cannot be spread


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every training script."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("config", help="a name in training/configs, or a .toml file")
    made.add_argument("--patches", type=Path, required=True, metavar="FILE.h5")
    made.add_argument("--val-patches", type=Path, metavar="FILE.h5", help="default: --patches")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="model and curves")
    made.add_argument("--resume", action="store_true", help="go on from DIR/state.pt")
    made.add_argument("--iterations", type=int, metavar="N", help="instead of the config's")
    return made


def quiet(work: Callable[[], object]) -> int:
    """Run a script's main: one line for what a user can mend, status 130 for Ctrl-C."""
    try:
        work()
    except WhetstoneError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("CANCELLED: what was complete is kept; a run goes on with --resume.\n")
        return 130
    return 0
