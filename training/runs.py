"""A training run: its scenes, its weights, its curves, and the checkpoint it can resume from.

The scripts beside this file hold the objectives and the loops; what they share is here.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import asdict, replace
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, Callable, Generic, Sequence, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from command import parser, quiet
from config import Config, read_config
from patches import Chips, Draw, Patches, check, large_enough, load, members
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from validation import Score, score
from whetstone.engine.deep import load_model
from whetstone.engine.deep.ema import EMA
from whetstone.engine.deep.sampling import schedule_of
from whetstone.engine.deep.weights import Model, build_network, save_model
from whetstone.engine.errors import WhetstoneError

__all__ = ["SAME_MODEL", "SAME_NETWORK", "Run", "parser", "quiet"]

#: Fields of the card in which a model must agree with the config to lend its weights ...
SAME_NETWORK = ("architecture", "parameters")
#: ... and to be the same model, only better or faster.
SAME_MODEL = (
    *SAME_NETWORK,
    "phase",
    "normalisation",
    "base",
    "limits",
    "residual_scale",
    "schedule",
    "window",
)
#: Keys of a card's training that name the models a run began with.
ORIGINS = ("from", "teacher", "encoders")
#: Steps per point of TensorBoard's loss curve.
LOSS_EVERY = 50
#: Pictures of this many scenes.
PICTURES = 4
# What the random numbers of a step are for; noises take the numbers from NOISE on.
PATCHES, TIMESTEPS, NOISE = 0, 1, 2
FULL_PATCHES, UNIFORM = 1000, 1001

C = TypeVar("C", bound=Config)


class Run(Generic[C]):
    """One run in one or several processes; all of it that is not the objective.

    Args:
        args: Of :func:`command.parser`.
        kind: Of config that the script takes.
        sources: Names of the sources (``patches.SOURCES``) of its patches, by the config.
        freezes: Whether parts of the network are frozen on the way.

    Attributes:
        score: Makes figures and pictures of validation scenes.
        criterion: The figure that the best model has the lowest mean of.
    """

    score: Score = staticmethod(score)
    criterion = "ergas"

    def __init__(
        self,
        args: argparse.Namespace,
        kind: type[C],
        sources: Callable[[C], Sequence[str]] = lambda config: ("reduced",),
        freezes: bool = False,
    ) -> None:
        config = read_config(args.config)
        if not isinstance(config, kind):
            raise WhetstoneError(
                "CONFIG",
                f"'{args.config}' is a config of {config.architecture}, and this script trains "
                f"{kind.architecture}.",
            )
        if args.iterations:
            config = replace(config, iterations=args.iterations)
        self.config, self.out, self.resumes = config, Path(args.out), bool(args.resume)
        self.state = self.out / "state.pt"
        if self.state.exists() != self.resumes:
            raise _no_state(self.state) if self.resumes else _other_run(self.state)
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=freezes)],
        )
        self.device = self.accelerator.device
        self.rank = self.accelerator.process_index
        self.main = self.accelerator.is_main_process
        processes = self.accelerator.num_processes
        if config.batch % processes:
            raise WhetstoneError(
                "CONFIG", f"A batch of {config.batch} cannot be shared by {processes} processes."
            )
        self.share = config.batch // processes
        self._load_scenes(args, sources(config))
        torch.manual_seed(config.seed)
        self.network = build_network(self.card).to(self.device)
        self.ema = EMA(self.network, config.ema)
        self.alpha_bar = torch.tensor(schedule_of(self.card), device=self.device)
        self.step, self.best = 0, inf
        self.history: list[dict[str, float]] = []
        self._optimizers: tuple[torch.optim.Optimizer, ...] = ()
        self._losses: list[Tensor] = []
        self._writer: SummaryWriter | None = None

    def _load_scenes(self, args: argparse.Namespace, sources: Sequence[str]) -> None:
        config = self.config
        found = [
            [self._named(scene) for scene in scenes]
            for scenes in load(args.patches, args.val_patches, config.scaling, config.base)
        ]
        train = {source: self._suited(found[0], source, config.patch) for source in sources}
        judged = "all" if "all" in sources else "reduced"
        self.val = self._suited(found[1], judged, config.window) if found[1] else []
        used = [scene for scenes in (*train.values(), self.val) for scene in scenes]
        check(used, config, used[0].phase)
        self.patches = {
            source: Patches([scene.to(self.device) for scene in scenes], config)
            for source, scenes in train.items()
        }
        seen = {scene.sensor for scenes in train.values() for scene in scenes} - {""}
        self.card = config.card(self.out.name, args.patches, used[0].phase, tuple(sorted(seen)))

    def _named(self, scene: Chips) -> Chips:
        """The bands of the config first; a scene that names no sensor is of the config's."""
        config = self.config
        if not scene.sensor and config.sensors:
            scene = replace(scene, sensor=config.sensors[0], roles=config.roles)
        return scene.led_by(config.roles) if config.ordered else scene

    def _suited(self, scenes: list[Chips], source: str, side: int) -> list[Chips]:
        """The scenes of a source with room for a patch; those without room are said."""
        found = members(scenes, source)
        large = large_enough(found, side)
        for scene in found:
            if scene not in large:
                self.accelerator.print(f"{scene.name}: left out, chips of {scene.side} pixels")
        return large

    # -- how it starts ----------------------------------------------------------------------------

    def start_from(
        self,
        name: str,
        same: tuple[str, ...] = SAME_NETWORK,
        role: str = "from",
        parts: tuple[str, ...] = (),
    ) -> Model:
        """Take the weights of a model, which the card then names as ``role``.

        Args:
            name: Of the model, or its path.
            same: Fields of the card in which it must agree.
            role: One of ORIGINS.
            parts: Of the network, by their names; the whole network without.
        """
        model = load_model(name, device=self.device)
        for key in same:
            theirs, mine = getattr(model.card, key), getattr(self.card, key)
            if theirs != mine:
                raise WhetstoneError(
                    "MODEL_MISMATCH", f"{name} has the {key} {theirs}, this run {mine}."
                )
        if parts:
            for part in parts:
                theirs = getattr(model.network, part).state_dict()
                getattr(self.network, part).load_state_dict(theirs)
        else:
            self.network.load_state_dict(model.network.state_dict())
        self.ema = EMA(self.network, self.config.ema)
        self.note(**{role: {"name": model.card.name, "sha256": model.card.sha256}})
        return model

    def note(self, **facts: Any) -> None:
        """Write something of the training into the card."""
        self.card = replace(self.card, training={**self.card.training, **facts})

    def begin(
        self, *optimizers: torch.optim.Optimizer, trained: nn.Module | None = None
    ) -> nn.Module:
        """The network as every process trains it, after resuming or scoring where it starts.

        Args:
            optimizers: Whose states a resumed run goes on with.
            trained: What is called in its stead, with parameters of it.
        """
        self._optimizers = optimizers
        if self.resumes:
            self._resume()
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(self.out), purge_step=self.step + 1)
        if self.step == 0 and {"from", "teacher"} & set(self.card.training):
            self.validate()
        network: nn.Module = self.accelerator.prepare(trained or self.network)
        return network.train()

    # -- randomness: a function of seed, step and process, so that a resumed run goes on alike -----

    def draw(self, source: str = "reduced") -> Draw:
        """This process's share of the batch of the present step."""
        purpose = FULL_PATCHES if source == "full" else PATCHES
        return self.patches[source].draw(self.share, np.random.default_rng(self._seed(purpose)))

    def timesteps(self) -> Tensor:
        """Uniform timesteps, one per patch of :meth:`draw`."""
        size, count = (self.share,), len(self.alpha_bar)
        return torch.randint(count, size, generator=self._generator(TIMESTEPS), device=self.device)

    def noise(self, like: Tensor, number: int = 0) -> Tensor:
        """Standard normal noise shaped like a tensor; other numbers give other noise."""
        generator = self._generator(NOISE + number)
        return torch.randn(like.shape, generator=generator, device=self.device)

    def uniform(self, count: int) -> Tensor:
        """``count`` rows of random numbers from 0 to 1, one per patch of :meth:`draw`."""
        shape, generator = (count, self.share), self._generator(UNIFORM)
        return torch.rand(shape, generator=generator, device=self.device)

    def _generator(self, purpose: int) -> torch.Generator:
        word = np.random.SeedSequence(self._seed(purpose)).generate_state(1)[0]
        return torch.Generator(self.device).manual_seed(int(word))

    def _seed(self, purpose: int) -> list[int]:
        return [self.config.seed, self.step, self.rank, purpose]

    # -- steps ------------------------------------------------------------------------------------

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """One optimiser step on a loss, with clipping, averaging and the learning rate's course.

        Validates and saves when it is time.
        """
        config = self.config
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate(self.step)
        self.network.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if config.clip:
            self.accelerator.clip_grad_norm_(self.network.parameters(), config.clip)
        optimizer.step()
        self.ema.update(self.network)
        self._losses.append(loss.detach())
        self.step += 1
        if self._writer and self.step % LOSS_EVERY == 0:
            recent = torch.stack(self._losses[-LOSS_EVERY:]).mean()
            self._writer.add_scalar("loss", float(recent), self.step)
        if self.step % config.validate_every == 0 or self.step == config.iterations:
            self.validate()

    def validate(self) -> None:
        """Score the averaged weights on the validation scenes, keep the best, save the state."""
        loss = nan
        if self._losses:
            mean = torch.stack(self._losses).mean().reshape(1)
            loss = float(self.accelerator.gather(mean).mean())
            self._losses.clear()
            if not isfinite(loss):
                raise WhetstoneError(
                    "DIVERGED",
                    f"The loss is {loss} before step {self.step}.",
                    "The last state.pt is kept; take a lower lr, or clip = 1.0.",
                )
        if self.main:
            self._score(loss)
            self._save()
        self.accelerator.wait_for_everyone()

    def _score(self, loss: float) -> None:
        model = Model(self.card, self.ema.network, self.device)
        by_scene, pictures = {}, {}
        for number, scene in enumerate(self.val):
            by_scene[scene.name], picture = self.score(model, scene, number < PICTURES)
            if picture is not None:
                pictures[scene.name] = picture
        keys = dict.fromkeys(key for figures in by_scene.values() for key in figures)
        means = {
            key: float(np.mean([f[key] for f in by_scene.values() if key in f])) for key in keys
        }
        rate = self.config.learning_rate(max(self.step - 1, 0))
        self.history.append({"step": self.step, "loss": loss, "lr": rate, **means})
        with open(self.out / "history.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(self.history[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(self.history)
        if self._writer:
            for key, value in {"lr": rate, **means}.items():
                self._writer.add_scalar(key, value, self.step)
            for name, picture in pictures.items():
                self._writer.add_image(name, picture, self.step)
            self._writer.flush()
        best = not by_scene or means[self.criterion] < self.best
        text = "  ".join(f"{k} {v:.4g}" for k, v in self.history[-1].items())
        self.accelerator.print(text + ("  best" if best else ""), flush=True)
        if best:
            self.best = means.get(self.criterion, inf)
            training = {**self.card.training, "step": self.step}
            card = replace(self.card, scores={"validation": by_scene}, training=training)
            save_model(self.out / f"{self.card.name}.safetensors", self.ema.network, card)

    def close(self) -> None:
        """End the run's curves and its processes' group."""
        if self._writer:
            self._writer.close()
        self.accelerator.end_training()

    # -- checkpoints ------------------------------------------------------------------------------

    def _save(self) -> None:
        """Write DIR/state.pt, whole or not at all."""
        state = {
            "config": _plain(asdict(self.config)),
            "training": _plain(self.card.training),
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": self.step,
            "best": self.best,
            "history": self.history,
        }
        part = self.state.with_name("state.pt.part")
        torch.save(state, part)
        os.replace(part, self.state)

    def _resume(self) -> None:
        """Load DIR/state.pt into network, averages and optimisers."""
        state = torch.load(self.state, map_location="cpu", weights_only=True)
        mine = {**_plain(asdict(self.config)), "iterations": state["config"]["iterations"]}
        changed = sorted(k for k in mine if state["config"].get(k) != mine[k])
        begun, here = state.get("training", {}), _plain(self.card.training)
        changed += [k for k in ORIGINS if here.get(k, begun.get(k)) != begun.get(k)]
        if changed or len(state["optimizers"]) != len(self._optimizers):
            what = ", ".join(changed) or "script"
            raise WhetstoneError("RESUME", f"'{self.state}' was made with another {what}.")
        self.card = replace(self.card, training={**begun, **here})
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.best, self.history = state["step"], state["best"], state["history"]


def _no_state(path: Path) -> WhetstoneError:
    return WhetstoneError("RESUME", f"There is no '{path}' to go on from.")


def _other_run(path: Path) -> WhetstoneError:
    return WhetstoneError(
        "RUN_EXISTS",
        f"'{path}' is of an earlier run.",
        "Go on with it (--resume), or name another --out.",
    )


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a config compares equal after being stored."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
