"""Adaptation: CrossDiff trained on one scene alone (spec crossdiff.md, section 10).

From scratch, both U-Nets first learn to predict one modality from the other at the scene's own
resolution. Then the encoders are frozen, with the statistics of the scene, and the fusion head
learns at reduced resolution, where the MS is the truth, and if asked for also at full resolution.
Blocks of the scene are held out; the weights that do best on them are kept.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import cos, inf, isfinite, pi
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import Cancelled, WhetstoneError
from . import device as machine
from .chunks import Chunks
from .crossdiff import CrossDiff, dropped, noise_objective
from .degradation import degradation_of
from .ema import EMA
from .held_out import Scores, glp, score
from .losses import physical_loss
from .schedule import add_noise, cosine
from .statistics import Moments, learn, statistics

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array, Progress

BATCH = 8
#: Learning rates after a warm-up of some steps; both fall by a cosine to this share of them.
ENCODER_RATE, HEAD_RATE, LEAST_RATE = 3e-4, 1e-3, 0.02
WARM_UP = 50
EMA_DECAY = 0.995
#: Share of the time for the encoders when they start from nothing.
ENCODER_SHARE = 0.2
#: Share of patches whose condition is dropped (spec 3.2).
DROPPED = 0.1
#: The head is scored this often in the time it has, and stops when it gained nothing for so long.
VALIDATIONS, PATIENCE = 24, 8
#: Weight of the loss without truth, which rises to it over the first half (spec 10).
FULL_WEIGHT = 0.5


@dataclass(frozen=True)
class Outcome:
    """The best weights are in the network; why training ended, and the figures by image."""

    steps: int
    ended: str
    scores: dict[str, Scores]


class Domain:
    """The windows of a scene at one resolution as the network is given them."""

    def __init__(
        self, chunks: Chunks, normalisation: Mapping[str, Any], device: torch.device
    ) -> None:
        self.chunks, self.scale, self.device = chunks, chunks.scale(normalisation), device
        images = chunks.images
        self.pan = self._tensor([self.scale.of_pan(i.pan)[None] for i in images])
        self.lms = self._tensor([self.scale.of_image(i.lms) for i in images])
        truths = [self.scale.of_image(i.truth) for i in images if i.truth is not None]
        self.truth = self._tensor(truths) if truths else None
        self.frozen: list[Moments | None] = []

    def _tensor(self, values: list[Array]) -> Tensor:
        return torch.from_numpy(np.stack(values)).to(self.device)

    def patches(self, places: Array, turns: Array, images: Sequence[Tensor]) -> list[Tensor]:
        """Patches of several images, each [B,C,P,P]; turns 0 to 7 flip and swap the axes."""
        side = self.chunks.patch
        out: list[list[Tensor]] = [[] for _ in images]
        for (number, row, col), turn in zip(places, turns):
            for found, image in zip(out, images):
                patch = image[number, :, row : row + side, col : col + side]
                flips = [axis for axis in (1, 2) if turn >> axis & 1]
                patch = patch.flip(flips) if flips else patch
                found.append(patch.transpose(1, 2) if turn & 1 else patch)
        return [_channels_last(torch.stack(found)) for found in out]


class Adaptation:
    """The training of ``network`` on one scene.

    Args:
        network: Is changed; at the end it holds the best weights, in eval mode.
        reduced: Windows with a truth, some blocks held out.
        full: Windows at full resolution.
        pair: Of ``full``.
        objective: "reduced" or "full".
        normalisation: As in the model's card.
        seed: Of everything random.
        seconds: How long it may take.
        steps: Of the head, 0 for as many as fit.
    """

    def __init__(
        self,
        network: CrossDiff,
        reduced: Chunks,
        full: Chunks,
        pair: Pair,
        *,
        objective: str,
        normalisation: Mapping[str, Any],
        seed: int,
        seconds: float,
        steps: int,
        progress: Progress,
    ) -> None:
        self.network, self.pair, self.objective = network, pair, objective
        self.device = next(network.parameters()).device
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.reduced = Domain(reduced, normalisation, self.device)
        self.full = Domain(full, normalisation, self.device)
        self.ratio = max(round(pair.ratio), 2)  # of the reduced windows
        self.alpha_bar = torch.tensor(cosine(), device=self.device)
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.started, self.seconds, self.wanted = time.monotonic(), seconds, steps
        self.progress = progress
        self._bf16 = machine.bf16_gains(self.device, convolutional=True)
        self.step = 0
        self.scores: dict[str, Scores] = {}

    def run(self, from_scratch: bool) -> Outcome:
        """Train, and leave the best weights in the network.

        Raises:
            Cancelled: Before there was anything better than the plain enlargement.
            WhetstoneError: ``DIVERGED``, ``ADAPT_WORSE`` when the best is not good enough.
        """
        chunks, gains = self.reduced.chunks, self.pair.sensor.ms_gains
        enlarged = [images.lms for images in chunks.images]
        sharpened = [glp(images, gains, self.ratio) for images in chunks.images]
        self.scores["exp"] = score(chunks, enlarged, self.ratio)
        self.scores["mtf-glp-fs"] = score(chunks, sharpened, self.ratio)
        if from_scratch:
            self._train_encoders()
        for part in (self.network.p2m, self.network.m2p):
            part.requires_grad_(False)
        self._freeze_encoders()
        if not from_scratch:
            self.scores["start"] = self._validate(self.network.head)
        ended = self._train_head()
        self._judge(ended)
        return Outcome(self.step, ended, self.scores)

    # -- time -------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        """Share of the time that is gone."""
        return (time.monotonic() - self.started) / self.seconds

    def _share(self, begin: float) -> float:
        """Share of the time since ``begin``, itself a share, that is gone."""
        return (self._elapsed() - begin) / max(1 - begin, 1e-9)

    # -- stage 1 ----------------------------------------------------------------------------------

    def _train_encoders(self) -> None:
        """Both pretext tasks on the pair as it is."""
        p2m, m2p = self.network.p2m, self.network.m2p
        optimizer = torch.optim.AdamW([*p2m.parameters(), *m2p.parameters()], weight_decay=0.0)
        begin, step = self._elapsed(), 0
        losses: list[float] = []
        wanted = -(-self.wanted // 2)
        while True:
            share = step / wanted if wanted else self._share(begin) / ENCODER_SHARE
            if share >= 1 or self._elapsed() >= 1 or self.progress.cancelled():
                return
            _set_rate(optimizer, ENCODER_RATE, share, step)
            pan, lms = self._draw(self.full, [self.full.pan, self.full.lms])
            pan, ms = self.network.signed(pan), self.network.signed(lms)
            t = torch.randint(
                len(self.alpha_bar), (BATCH,), generator=self.generator, device=self.device
            )
            loss = torch.zeros((), device=self.device)
            for network, image, condition in ((p2m, ms, pan), (m2p, pan, ms)):
                noise = self._noise(image)
                keep = torch.rand(BATCH, generator=self.generator, device=self.device) >= DROPPED
                x_t = add_noise(image, noise, t, self.alpha_bar)
                with self._autocast():
                    eps = network(x_t, t + 1.0, dropped(condition, keep))
                loss = loss + noise_objective(eps, noise)
            self._descend(loss, optimizer, self.network)
            losses = [*losses[-49:], float(loss.detach()) / 2]
            step += 1
            self.progress.update(
                self._elapsed(), f"training the encoders: noise error {np.mean(losses):.3f}"
            )

    def _freeze_encoders(self) -> None:
        """Give the encoders the statistics of the scene at both resolutions."""
        domains = [self.reduced, *([self.full] if self.objective == "full" else [])]
        for domain in domains:
            valid = torch.from_numpy(domain.chunks.valid).to(self.device).float()

            def windows(
                domain: Domain = domain, valid: Tensor = valid
            ) -> Iterator[tuple[Tensor, Callable[[], object]]]:
                for number, weights in enumerate(valid):
                    inputs = (domain.pan[number, None], domain.lms[number, None])
                    yield weights[None, None], partial(self.network.features, *inputs)

            for part in (self.network.p2m, self.network.m2p):
                learn(part, windows)
            domain.frozen = [layer.frozen for layer in self._layers()]

    def _layers(self) -> list[Any]:
        return [*statistics(self.network.p2m), *statistics(self.network.m2p)]

    def _use(self, domain: Domain) -> None:
        """Let the encoders have the statistics of a resolution."""
        for layer, frozen in zip(self._layers(), domain.frozen):
            layer.frozen = frozen

    # -- stage 2 ----------------------------------------------------------------------------------

    def _train_head(self) -> str:
        """Train the head; returns why it ended."""
        head = self.network.head
        optimizer = torch.optim.AdamW(head.parameters(), weight_decay=0.0)
        ema = EMA(head, EMA_DECAY)
        begin = self._elapsed()
        best, weights, since, due = inf, None, 0, 1
        ended = ""
        while not ended:
            share = self.step / self.wanted if self.wanted else self._share(begin)
            if self.progress.cancelled():
                ended = "cancelled"
            elif self._elapsed() >= 1:
                ended = "time"
            elif share >= 1:
                ended = "steps"
            else:
                _set_rate(optimizer, HEAD_RATE, share, self.step)
                self._descend(self._loss(share), optimizer, head)
                ema.update(head)
                self.step += 1
                self.progress.update(self._elapsed(), f"training the head: step {self.step}")
            if (ended and self.step) or share * VALIDATIONS >= due:
                due = int(share * VALIDATIONS) + 1
                scores = self._validate(ema.network)
                self._tell(scores)
                if scores["ergas"] < best:
                    best, since = scores["ergas"], 0
                    self.scores["adapted"] = scores
                    weights = {k: v.clone() for k, v in ema.network.state_dict().items()}
                else:
                    since += 1
                if not ended and since >= PATIENCE:
                    ended = "converged"
        if weights is not None:
            head.load_state_dict(weights)
        self.network.eval()
        return ended

    def _loss(self, share: float) -> Tensor:
        """One batch with a truth, and one without beside it if asked for."""
        self._use(self.reduced)
        assert self.reduced.truth is not None
        images = [self.reduced.pan, self.reduced.lms, self.reduced.truth]
        pan, lms, truth = self._draw(self.reduced, images)
        loss = F.l1_loss(self._fused(pan, lms), truth)
        if self.objective == "full":
            weight = FULL_WEIGHT * min(1.0, 2 * share)
            loss = loss + weight * self._loss_without_truth()
        return loss

    def _loss_without_truth(self) -> Tensor:
        """The physical loss of a batch at full resolution; patches are not turned, as MS is not."""
        self._use(self.full)
        chunks, geometry = self.full.chunks, self.pair.geometry
        places = chunks.draw(BATCH, self.rng)
        pan, lms = self.full.patches(places, np.zeros(BATCH, int), [self.full.pan, self.full.lms])
        count = int(np.ceil(chunks.patch / self.pair.ratio))
        first, measured = [], []
        for number, row, col in places:
            window, images = chunks.windows[number], chunks.images[number]
            corner = (window.row + row, window.col + col)
            begin = [
                int(np.ceil(geometry.ms_position(axis, np.array([at - 0.5]))[0] - 1e-6))
                for axis, at in zip((1, 0), corner)
            ]
            first.append(
                [
                    geometry.pan_position(axis, np.array([k]))[0] - at
                    for axis, k, at in zip((1, 0), begin, corner)
                ]
            )
            top, left = begin[0] - images.ms_window.row, begin[1] - images.ms_window.col
            measured.append(images.ms[:, top : top + count, left : left + count])
        sensor = degradation_of(
            self.pair.sensor.ms_gains,
            (geometry.ratio[1], geometry.ratio[0]),
            np.array(first),
            count,
            chunks.patch,
            self.device,
        )
        ms = torch.from_numpy(self.full.scale.of_image(np.stack(measured))).to(self.device)
        return physical_loss(self._fused(pan, lms), pan, ms, sensor)

    def _fused(self, pan: Tensor, lms: Tensor) -> Tensor:
        """The network on patches, every second of them with noise."""
        noise = [
            self._noise(torch.cat([lms, pan], 1)) * self._every_second()
            for _ in self.network.timesteps
        ]
        with self._autocast():
            with torch.no_grad():
                features = self.network.features(pan, lms, noise)
            image: Tensor = self.network.head(lms, *features)
        return image.float()

    def _every_second(self) -> Tensor:
        return (torch.arange(BATCH, device=self.device) % 2).float()[:, None, None, None]

    def _draw(self, domain: Domain, images: Sequence[Tensor]) -> list[Tensor]:
        places = domain.chunks.draw(BATCH, self.rng)
        return domain.patches(places, self.rng.integers(8, size=BATCH), images)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, device=self.device)

    def _autocast(self) -> ContextManager[object]:
        if not self._bf16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _descend(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, network: torch.nn.Module
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if not isfinite(float(norm)):
            raise WhetstoneError(
                "DIVERGED",
                f"The loss is {float(loss.detach())} after {self.step} steps; nothing was written.",
                "Check the images for odd values (whetstone check), or take another --seed.",
            )
        optimizer.step()

    # -- validation -------------------------------------------------------------------------------

    def _validate(self, head: torch.nn.Module) -> Scores:
        """Figures of the held-out blocks, each seen within its whole window."""
        self._use(self.reduced)
        reduced = self.reduced
        images: list[Array | None] = [None] * len(reduced.pan)
        with torch.no_grad(), self._autocast():
            for number in np.unique(reduced.chunks.held_out[:, 0]):
                lms = _channels_last(reduced.lms[number, None])
                pan = _channels_last(reduced.pan[number, None])
                image = head(lms, *self.network.features(pan, lms)).float()
                images[number] = reduced.scale.to_dn(image[0].cpu().numpy())
        return score(reduced.chunks, images, self.ratio)

    def _tell(self, scores: Scores) -> None:
        others = ", ".join(
            f"{n} {s['ergas']:.3f}" for n, s in self.scores.items() if n != "adapted"
        )
        self.progress.message(
            f"Step {self.step}: ERGAS {scores['ergas']:.3f} on the held-out windows ({others})."
        )

    def _judge(self, ended: str) -> None:
        """Refuse a model that is no better than what needs no training."""
        adapted = self.scores.get("adapted")
        others = {name: s["ergas"] for name, s in self.scores.items() if name != "adapted"}
        if adapted is not None and all(adapted["ergas"] < other for other in others.values()):
            return
        if ended == "cancelled":
            raise Cancelled()
        name, least = min(others.items(), key=lambda item: item[1])
        reached = (
            f"has ERGAS {adapted['ergas']:.3f}" if adapted else "did not get to its first score"
        )
        raise WhetstoneError(
            "ADAPT_WORSE",
            f"After {self.step} steps the adapted model {reached} on the held-out windows, "
            f"{name} has {least:.3f}; no model was written.",
            "Give it more time (--minutes), or use what is better.",
        )


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float, share: float, step: int) -> None:
    """Warm up, and fall by a cosine over the share of the training that is done."""
    fall = LEAST_RATE + (1 - LEAST_RATE) * (1 + cos(pi * min(share, 1.0))) / 2
    for group in optimizer.param_groups:
        group["lr"] = rate * fall * min(1.0, (step + 1) / WARM_UP)
