"""Train CrossDiff's fusion head (stage 2) on the frozen encoders of a pre-trained model.

    python training/train_crossdiff.py crossdiff-qb --from runs/qb-1/qb-1.safetensors \\
        --patches patches.h5 --out runs/qb

``objective`` in the config: L1 to the truth at reduced resolution, a loss without truth at full
resolution, or both. Validation has a truth in either case, of scenes that training never sees.
The head goes on from that of the model, or begins anew if the model is of stage 1 or with
--new-head: encoders of one sensor then serve another with as many bands.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from config import CrossDiffConfig
from encoders import SceneStatistics, has_noise
from patches import Draw, joined
from pretrain_crossdiff import UNETS
from runs import SAME_NETWORK, Run, parser, quiet
from torch import Tensor
from torch.nn import functional as F
from whetstone.engine.cards import Card
from whetstone.engine.deep.degradation import Degradation, degradation_of
from whetstone.engine.deep.losses import physical_loss, reference_loss
from whetstone.engine.deep.models import find_model
from whetstone.engine.errors import WhetstoneError

#: What the patches of an objective are drawn from.
SOURCES = {"reduced": ("reduced",), "full": ("full",), "both": ("reduced", "full")}


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="start", metavar="MODEL", help="pre-trained, or finished")
    arguments.add_argument(
        "--new-head", action="store_true", help="take the encoders alone from a finished model"
    )
    args = arguments.parse_args()
    if not (args.start or args.resume):
        raise WhetstoneError("CALL", "There are no encoders.", "Name a model with --from.")
    run = Run(args, CrossDiffConfig, sources=lambda config: SOURCES[config.objective])
    config = run.config
    check_gains(run)
    run.note(stage=2)
    if args.start:
        begin_with(run, args.start, args.new_head)
    head = train_only_head(run)
    optimizer = torch.optim.AdamW(head, lr=config.lr, weight_decay=0.0)
    network = run.begin(optimizer)
    statistics = SceneStatistics(run.network) if config.statistics == "scene" else None
    while run.step < config.iterations:
        draws = [run.draw(source) for source in run.patches]
        batch = joined(draws)
        noisy = has_noise(config.noise, len(batch.pan), run.step + run.rank * run.share)
        if statistics:
            statistics.freeze(batch, noisy)
        image = network(batch.pan, batch.lms, noise_of(run, batch, noisy))
        parts = dict(zip(run.patches, zip(image.split([len(draw.pan) for draw in draws]), draws)))
        run.update(objective(run, parts), optimizer)
    run.close()


def begin_with(run: Run[CrossDiffConfig], name: str, new_head: bool) -> None:
    """Take a model's weights; of one of stage 1, or with ``new_head``, the encoders alone."""
    theirs = find_model(name).card
    kinds = [card.normalisation["kind"] for card in (theirs, run.card)]
    if new_head or theirs.training.get("stage") == 1:
        if kinds[0] != kinds[1]:
            raise WhetstoneError(
                "MODEL_MISMATCH", f"{name} has the normalisation {kinds[0]}, this run {kinds[1]}."
            )
        run.start_from(name, ("architecture", "bands"), "encoders", UNETS)
    else:
        run.start_from(name, (*SAME_NETWORK, "normalisation"))
    run.note(encoders=origin(theirs))


def origin(card: Card) -> dict[str, object]:
    """Where the encoders of a model were trained."""
    mine = {"name": card.name, "sha256": card.sha256, "sensors": list(card.sensors)}
    return dict(card.training.get("encoders", mine))


def train_only_head(run: Run[CrossDiffConfig]) -> list[torch.nn.Parameter]:
    """Freeze all that is not the head, or that the image does not depend on."""
    run.network.requires_grad_(False)
    head = run.network.head.requires_grad_(True)
    if head.finest_level == "reference":
        head.block[-1].requires_grad_(False)
    run.ema.moving = frozenset(f"head.{name}" for name in head.state_dict())
    return [parameter for parameter in head.parameters() if parameter.requires_grad]


def noise_of(run: Run[CrossDiffConfig], batch: Draw, noisy: list[bool]) -> list[Tensor] | None:
    """Noise per timestep of the features, zero for patches that are to have none."""
    if not any(noisy):
        return None
    like = torch.cat([batch.lms, batch.pan], 1)
    kept = torch.tensor(noisy, device=like.device)[:, None, None, None]
    return [run.noise(like, number) * kept for number in range(len(run.config.timesteps))]


def objective(run: Run[CrossDiffConfig], parts: dict[str, tuple[Tensor, Draw]]) -> Tensor:
    """The loss of images by the source of their patches."""
    config = run.config
    if config.objective == "reduced":
        return of_truth(*parts["reduced"])
    unsupervised = without_truth(*parts["full"], config)
    if config.objective == "full":
        return unsupervised
    ramp = min(1.0, 2 * run.step / config.iterations)
    return of_truth(*parts["reduced"]) + config.full_weight * ramp * unsupervised


def of_truth(image: Tensor, draw: Draw) -> Tensor:
    """L1 to the truth."""
    return F.l1_loss(image, draw.truth)


def without_truth(image: Tensor, draw: Draw, config: CrossDiffConfig) -> Tensor:
    """The objective at full resolution (spec §4.2); the LMS is never taken for the truth."""
    if config.loss == "reference":
        return reference_loss(image, draw.pan, draw.ms, draw.lms)
    sensor = sensor_of(draw)
    return physical_loss(image, draw.pan, draw.ms, sensor, config.correlation_weight)


def sensor_of(draw: Draw) -> Degradation:
    """The sensors that saw the patches, with the gains of the bands they have."""
    gains = np.array([np.take(s.gains, bands) for s, bands in zip(draw.scenes, draw.bands)])
    scene, side = draw.scenes[0], draw.pan.shape[-1]
    first = (scene.phase, scene.phase)
    device = draw.pan.device
    return degradation_of(gains, scene.ratio, first, side // scene.ratio, side, device)


def check_gains(run: Run[CrossDiffConfig]) -> None:
    """Refuse scenes of unknown sensors where the MS has to be simulated."""
    config = run.config
    if config.objective == "reduced" or config.loss != "physical":
        return
    for scene in run.patches["full"].scenes:
        if not scene.gains:
            raise WhetstoneError(
                "PATCHES",
                f"The scene {scene.name} is of the sensor {scene.sensor!r}, of unknown MTF.",
                "Name a sensor of resources/sensors.json in the config (sensors = [...]).",
            )


if __name__ == "__main__":
    sys.exit(quiet(main))
