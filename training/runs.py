"""A training run: its config, its scenes, its curves, and the checkpoint it can resume from.

The scripts beside this file hold the objectives and the loops; what they share is here.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, replace
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from whetstone.engine.deep import load_model
from whetstone.engine.deep.ema import EMA
from whetstone.engine.deep.sampling import Batch, sample, schedule_of
from whetstone.engine.deep.weights import Card, Model, build_network, save_model
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.metrics.reference import ergas, q2n, sam

from patches import Chips, Draw, Patches, load, windows

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).resolve().parent / "configs"
#: Windows per call of the network in validation.
VALIDATION_BATCH = 16


@dataclass(frozen=True)
class Config:
    """A TOML config, flat; unknown keys are refused. Sections in the file only order it.

    Attributes:
        bands, ratio, width, share_resample: The network.
        schedule, residual_scale: The diffusion.
        normalisation, limits, roles, sensors: For the model card.
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

    def card(self, name: str, patches: Path) -> Card:
        """The model card of a run with this config."""
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
            sensors=self.sensors,
            window=self.window,
            phase=(self.ratio - 1) / 2,
            normalisation={"kind": self.normalisation, "value": self.normalisation_value},
            limits=self.limits,
            residual_scale=self.residual_scale,
            schedule={"kind": self.schedule, "timesteps": 1000},
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
        raise WhetstoneError("CONFIG", f"There is no config '{path}'.", f"Known: {known}.") from None
    except tomllib.TOMLDecodeError as error:
        raise WhetstoneError("CONFIG", f"'{path}' is not TOML: {error}.") from None
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    unknown = sorted(set(flat) - {f.name for f in fields(Config)})
    missing = sorted({f.name for f in fields(Config) if f.default is MISSING} - set(flat))
    if unknown or missing:
        what = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        raise WhetstoneError("CONFIG", f"'{path}' does not fit ({what}).")
    flat = {k: tuple(v) if isinstance(v, list) else v for k, v in flat.items()}
    if "limits" in flat:  # TOML has no null: an infinite limit is an open one
        flat["limits"] = tuple(v if abs(v) != float("inf") else None for v in flat["limits"])
    return Config(**flat)


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


class Run:
    """One run in one or several processes; all of it that is not the objective."""

    def __init__(self, args: argparse.Namespace, network: nn.Module | None = None) -> None:
        config = read_config(args.config)
        if args.iterations:
            config = replace(config, iterations=args.iterations)
        self.config, self.out = config, Path(args.out)
        self.accelerator = Accelerator(mixed_precision=config.precision)
        self.device = self.accelerator.device
        self.rank = self.accelerator.process_index
        self.main = self.accelerator.is_main_process
        self.card = config.card(self.out.name, args.patches)
        normalisation = self.card.normalisation
        train = load(args.patches, normalisation, "train")
        self.val = load(args.val_patches or args.patches, normalisation, "val")
        self.patches = Patches(
            [scene.to(self.device) for scene in train],
            config.bands,
            config.patch,
            augment=config.augment,
            any_bands=config.any_bands,
        )
        share = self.accelerator.num_processes
        if config.batch % share:
            raise WhetstoneError("CONFIG", f"A batch of {config.batch} on {share} processes.")
        self.share = config.batch // share
        torch.manual_seed(config.seed)
        self.network = (network or build_network(self.card)).to(self.device)
        self.ema = EMA(self.network, config.ema)
        self.step, self.best = 0, float("inf")
        self.history: list[dict[str, float]] = []
        self.alpha_bar = torch.tensor(schedule_of(self.card), device=self.device)
        self._writer: SummaryWriter | None = None
        self._losses: list[Tensor] = []
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(self.out))

    def start_from(self, model: str) -> Card:
        """Begin with the weights of a model of the same architecture; returns its card."""
        found = load_model(model, device=str(self.device))
        if found.card.parameters != self.card.parameters:
            raise WhetstoneError(
                "MODEL_INVALID",
                f"{model} has the parameters {found.card.parameters}, "
                f"the config {self.card.parameters}.",
            )
        self.network.load_state_dict(found.network.state_dict())
        self.ema = EMA(self.network, self.config.ema)
        training = {**self.card.training, "from": {"name": found.card.name, "sha256": found.card.sha256}}
        self.card = replace(self.card, training=training)
        return found.card

    # -- randomness: a function of seed, step and process, so that a resumed run goes on alike -----

    def draw(self, step: int) -> Draw:
        """This process's share of the batch of a step."""
        return self.patches.draw(self.share, np.random.default_rng(self._seed(step, 0)))

    def noise(self, step: int, like: Tensor, purpose: int = 1) -> tuple[Tensor, Tensor]:
        """Uniform timesteps [B], and standard normal noise shaped like a tensor."""
        words = np.random.SeedSequence(self._seed(step, purpose)).generate_state(2, np.uint32)
        generator = torch.Generator(self.device).manual_seed(int(words[0]) << 31 | int(words[1]))
        timesteps = torch.randint(
            len(self.alpha_bar), (len(like),), generator=generator, device=self.device
        )
        eps = torch.randn(like.shape, generator=generator, device=self.device)
        return timesteps, eps

    def _seed(self, step: int, purpose: int) -> list[int]:
        return [self.config.seed, step, self.rank, purpose]

    # -- checkpoints ------------------------------------------------------------------------------

    def resume(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Load DIR/state.pt into network, averages and optimisers."""
        path = self.out / "state.pt"
        if not path.is_file():
            raise WhetstoneError("RESUME", f"There is no '{path}' to go on from.")
        state = torch.load(path, map_location=self.device, weights_only=True)
        stored = {k: v for k, v in state["config"].items() if k != "iterations"}
        mine = {k: v for k, v in _plain(asdict(self.config)).items() if k != "iterations"}
        if stored != mine:
            changed = sorted(k for k in mine if stored.get(k) != mine[k])
            raise WhetstoneError("RESUME", f"'{path}' is of another config ({', '.join(changed)}).")
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.best, self.history = state["step"], state["best"], state["history"]

    def save(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Write DIR/state.pt, whole or not at all."""
        if not self.main:
            return
        state = {
            "config": _plain(asdict(self.config)),
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "step": self.step,
            "best": self.best,
            "history": self.history,
        }
        part = self.out / "state.pt.part"
        torch.save(state, part)
        os.replace(part, self.out / "state.pt")

    # -- curves -----------------------------------------------------------------------------------

    def update(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """One optimiser step on a loss, with clipping, averaging and the learning rate's course."""
        rate = self.config.learning_rate(self.step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.config.clip:
            self.accelerator.clip_grad_norm_(network.parameters(), self.config.clip)
        optimizer.step()
        self.ema.update(self.network)
        self._losses.append(loss.detach())
        self.step += 1

    def due(self) -> bool:
        """Whether it is time to validate."""
        return self.step % self.config.validate_every == 0 or self.step == self.config.iterations

    def validate(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Score the averaged weights on the validation scenes, keep the best, save the state."""
        loss = torch.stack(self._losses).mean() if self._losses else torch.tensor(float("nan"))
        loss = float(self.accelerator.gather(loss.to(self.device).reshape(1)).mean())
        self._losses.clear()
        if self.main:
            self._score(loss)
            self.save(optimizers)
        self.accelerator.wait_for_everyone()

    def _score(self, loss: float) -> None:
        model = Model(self.card, self.ema.network.eval(), self.device)
        rows = [evaluate(model, scene, self.config.validate_steps) for scene in self.val]
        scores = {k: float(np.mean([row[k] for row, _ in rows])) for k in ("ergas", "sam", "q2n")}
        rate = self.config.learning_rate(self.step - 1)
        self.history.append({"step": self.step, "loss": loss, "lr": rate, **scores})
        with open(self.out / "history.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(self.history[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(self.history)
        if self._writer:
            for key, value in self.history[-1].items():
                self._writer.add_scalar(key, value, self.step)
            for scene, (_, picture) in zip(self.val[:4], rows):
                self._writer.add_image(scene.name, picture, self.step)
            self._writer.flush()
        text = "  ".join(f"{k} {v:.4g}" for k, v in self.history[-1].items())
        best = not self.val or scores["ergas"] < self.best
        print(text + ("  best" if best else ""), flush=True)
        if best:
            self.best = scores["ergas"]
            by_scene = {s.name: row for s, (row, _) in zip(self.val, rows)}
            training = {**self.card.training, "step": self.step}
            card = replace(self.card, scores={"validation": by_scene}, training=training)
            save_model(self.out / f"{self.card.name}.safetensors", self.ema.network, card)

    def close(self) -> None:
        """End the run's trackers and process group."""
        if self._writer:
            self._writer.close()
        self.accelerator.end_training()


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a config compares equal after being stored."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def evaluate(model: Model, scene: Chips, steps: int) -> tuple[dict[str, float], Tensor]:
    """Mean ERGAS, SAM and Q2n over the windows of a scene, and a picture of the first window.

    The picture [3,P,4P] shows PAN, LMS, result and truth side by side.
    """
    card = model.card
    scale = scene.image_scale[: card.bands].numpy()[:, None, None]
    found: list[tuple[float, float, float]] = []
    picture = None
    for chip in windows(scene, card.window, card.bands):
        parts = [
            Draw(*(x[i : i + VALIDATION_BATCH] for x in chip))
            for i in range(0, len(chip.pan), VALIDATION_BATCH)
        ]
        for part in parts:
            batch = Batch(*(x.to(model.device) for x in (part.pan, part.lms, part.ms)))
            noise = torch.Generator().manual_seed(0)
            start = torch.randn(part.lms.shape, generator=noise).to(model.device)
            image = sample(model, batch, lambda _, start=start: start, steps=steps).cpu()
            if picture is None:
                picture = _picture(part, image)
            for truth, fused in zip(part.gt.numpy() * scale, image.numpy() * scale):
                truth, fused = truth.astype(np.float64), fused.astype(np.float64)
                found.append((ergas(truth, fused, card.ratio), sam(truth, fused), q2n(truth, fused)))
    means = np.nanmean(found, axis=0)
    if picture is None:
        raise WhetstoneError("PATCHES", f"{scene.name} is smaller than {card.window} pixels.")
    return dict(zip(("ergas", "sam", "q2n"), map(float, means))), picture


def _picture(part: Draw, image: Tensor) -> Tensor:
    bands = [2, 1, 0] if image.shape[1] > 2 else [0, 0, 0]
    if image.shape[1] >= 7:
        bands = [4, 2, 1]
    panels = [part.pan[0].expand(3, -1, -1), *(x[0, bands] for x in (part.lms, image, part.gt))]
    row = torch.cat(panels, dim=2)
    low, high = torch.quantile(part.gt[0, bands].flatten(), torch.tensor([0.01, 0.99]))
    return ((row - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def quiet(work: Any) -> int:
    """Run a script's main: one line for what a user can mend, status 130 for Ctrl-C."""
    with suppress(BrokenPipeError):
        try:
            work()
        except WhetstoneError as error:
            print(f"{error.code}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("CANCELLED: the last state.pt is kept; go on with --resume.", file=sys.stderr)
            return 130
    return 0
