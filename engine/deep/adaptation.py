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
from typing import TYPE_CHECKING, Callable, ContextManager, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import Cancelled, WhetstoneError
from . import device as machine
from .crossdiff import CrossDiff, dropped, noise_objective
from .degradation import degradation_of
from .domain import Domain, channels_last
from .ema import EMA
from .held_out import Scores, glp, score
from .losses import physical_loss
from .schedule import add_noise, cosine
from .statistics import learn, statistics

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array, Progress
    from .chunks import Chunks
    from .inputs import Scale

BATCH = 8
#: The head sees so many patches of a batch once, and the first of them again with noise. Both must
#: give the truth and, the longer the training the more, the same image.
FRESH, NOISY = 6, 2
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


class Adaptation:
    """The training of ``network`` on one scene.

    Args:
        network: Is changed; at the end it holds the best weights, in eval mode.
        reduced: Windows with a truth, some blocks held out.
        full: Windows at full resolution.
        pair: Of ``full``.
        objective: "reduced" or "full".
        scale: Of both.
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
        scale: Scale,
        seed: int,
        seconds: float,
        steps: int,
        progress: Progress,
    ) -> None:
        self.network, self.pair, self.objective = network, pair, objective
        self.device = next(network.parameters()).device
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.reduced = Domain(reduced, scale, self.device)
        self.full = Domain(full, scale, self.device)
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
            Cancelled: Before there was anything better than what needs no training.
            WhetstoneError: ``DIVERGED``, ``ADAPT_WORSE`` when the best is not good enough.
        """
        chunks, gains = self.reduced.chunks, self.pair.sensor.ms_gains
        enlarged = [images.lms for images in chunks.images]
        self.scores["exp"] = score(chunks, enlarged, self.ratio)
        if not isfinite(self.scores["exp"]["ergas"]):
            raise WhetstoneError(
                "EMPTY_BAND",
                "A band of the MS is 0 in all held-out windows, so no image can be scored there.",
                "Choose the other bands (--ms-bands).",
            )
        seen = set(chunks.held_out[:, 0].tolist())
        sharpened = [
            glp(images, window, gains, self.ratio) if number in seen else None
            for number, (window, images) in enumerate(zip(chunks.windows, chunks.images))
        ]
        self.scores["mtf-glp-fs"] = score(chunks, sharpened, self.ratio)
        given = [images.base for images in chunks.images]
        if any(base is not lms for base, lms in zip(given, enlarged)):
            self.scores["base"] = score(chunks, given, self.ratio)
        if from_scratch:
            self._train_encoders()
        for part in (self.network.p2m, self.network.m2p):
            part.requires_grad_(False)
        if not any(layer.frozen for layer in statistics(self.network.p2m)):
            self._freeze(self.network.p2m, self.network.m2p)
        if not from_scratch:
            self.scores["start"] = self._validate(self.network.head)
        for layer in statistics(self.network.head):
            layer.frozen = None  # gates follow the head while it learns
        ended = self._train_head(ENCODER_SHARE if from_scratch else 0.0)
        if "adapted" in self.scores:
            self._freeze(self.network.head, patient=True)
            self.scores["adapted"] = self._validate(self.network.head)
        self._judge(ended)
        return Outcome(self.step, ended, self.scores)

    # -- time -------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        """Share of the time that is gone."""
        return (time.monotonic() - self.started) / self.seconds

    def _share(self, begin: float) -> float:
        """Share of the time since ``begin``, itself a share, that is gone."""
        return (self._elapsed() - begin) / max(1 - begin, 1e-9)

    def _show(self, done: float, text: str) -> None:
        """Progress by steps or by time, whichever ends it first."""
        self.progress.update(min(max(done, self._elapsed()), 1.0), text)

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
            pan, lms = self._draw(self.full, self.full.images, BATCH)
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
            done = ENCODER_SHARE * min(share, 1.0)
            self._show(done, f"training the encoders: noise error {np.mean(losses):.3f}")

    def _freeze(self, *parts: torch.nn.Module, patient: bool = False) -> None:
        """Freeze parts of the network at what they see in the reduced windows of the scene."""
        domain = self.reduced
        valid = torch.from_numpy(domain.chunks.valid).to(self.device).float()

        def windows() -> Iterator[tuple[Tensor, Callable[[], object]]]:
            for number, weights in enumerate(valid):
                if self.progress.cancelled() and not patient:
                    raise Cancelled()
                inputs = (domain.pan[number, None], domain.lms[number, None])
                yield weights[None, None], partial(self.network, *inputs)

        for part in parts:
            learn(part, windows)

    # -- stage 2 ----------------------------------------------------------------------------------

    def _train_head(self, done: float) -> str:
        """Train the head, ``done`` being the share of the work before it; returns why it ended."""
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
                self._show(done + (1 - done) * share, f"training the head: step {self.step}")
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
        drawn = self._draw(self.reduced, self.reduced.images, FRESH)
        pan, lms, truth = (channels_last(torch.cat([x, x[:NOISY]])) for x in drawn)
        image = self._fused(pan, lms, self._noise_at_the_end(lms))
        loss = F.l1_loss(image, truth)
        loss = loss + share * F.l1_loss(image[FRESH:], image[:NOISY])
        if self.objective == "full":
            weight = FULL_WEIGHT * min(1.0, 2 * share)
            loss = loss + weight * self._loss_without_truth()
        return loss

    def _loss_without_truth(self) -> Tensor:
        """The physical loss of a batch at full resolution; patches are not turned, as MS is not."""
        chunks, geometry = self.full.chunks, self.pair.geometry
        places = chunks.draw(BATCH, self.rng)
        pan, lms = self.full.patches(places, np.zeros(BATCH, int), self.full.images)
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

    def _fused(self, pan: Tensor, lms: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """The network on patches; only the head gets gradients."""
        with self._autocast():
            with torch.no_grad():
                features = self.network.features(pan, lms, noise)
            image: Tensor = self.network.head(lms, *features)
        return image.float()

    def _noise_at_the_end(self, lms: Tensor) -> list[Tensor]:
        """Per feature timestep the noise of a batch, of which only the last patches have some."""
        shape = (len(lms), self.network.bands + 1, *lms.shape[2:])
        all_noise = [torch.zeros(shape, device=self.device) for _ in self.network.timesteps]
        for noise in all_noise:
            noise[FRESH:] = self._noise(noise[FRESH:])
        return all_noise

    def _draw(self, domain: Domain, images: Sequence[Tensor], count: int) -> list[Tensor]:
        places = domain.chunks.draw(count, self.rng)
        return domain.patches(places, self.rng.integers(8, size=count), images)

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
        reduced = self.reduced
        images: list[Array | None] = [None] * len(reduced.pan)
        with torch.no_grad(), self._autocast():
            for number in np.unique(reduced.chunks.held_out[:, 0]):
                lms = channels_last(reduced.lms[number, None])
                pan = channels_last(reduced.pan[number, None])
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


def _set_rate(optimizer: torch.optim.Optimizer, rate: float, share: float, step: int) -> None:
    """Warm up, and fall by a cosine over the share of the training that is done."""
    fall = LEAST_RATE + (1 - LEAST_RATE) * (1 + cos(pi * min(share, 1.0))) / 2
    for group in optimizer.param_groups:
        group["lr"] = rate * fall * min(1.0, (step + 1) / WARM_UP)
