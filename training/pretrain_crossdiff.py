"""Pre-train CrossDiff (stage 1): predict MS from PAN and PAN from MS, without any truth.

    python training/prepare_patches.py --full --train scenes/train --val scenes/val --out full.h5
    python training/pretrain_crossdiff.py crossdiff-qb-pretrain --patches full.h5 --out runs/qb-1

Both U-Nets learn at once. The model that is written is whole, so that train_crossdiff.py can start
from it, but its fusion head is untrained. The best is the one with the least error of the noise on
the validation scenes; samples of them are in TensorBoard.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from config import CrossDiffConfig
from pretext import Pretext, images_of, pretext_score
from runs import Run, parser, quiet
from torch import Tensor
from whetstone.engine.deep.schedule import add_noise

#: The two that are trained here.
UNETS = ("p2m", "m2p")
#: Fields of the card in which a model must agree to lend its U-Nets.
SAME_UNETS = ("architecture", "bands", "normalisation")
#: Timesteps up to here are drawn more often with ``small_t``: features are taken at such.
SMALL = 200


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="start", metavar="MODEL", help="U-Nets to start from")
    args = arguments.parse_args()
    run = Run(args, CrossDiffConfig, sources=lambda config: ("all",))
    config = run.config
    run.score, run.criterion = partial(pretext_score, guidance=config.guidance), "noise"
    run.note(stage=1, head="untrained")
    if args.start:
        run.start_from(args.start, SAME_UNETS, parts=UNETS)
    tasks = Pretext(run.network)
    run.ema.moving = frozenset(tasks.state_dict())
    optimizer = torch.optim.AdamW(tasks.parameters(), lr=config.lr, weight_decay=0.0)
    trained = run.begin(optimizer, trained=tasks)
    while run.step < config.iterations:
        images = images_of(run.network, run.draw("all"))
        noise, chance = run.noise(images), run.uniform(3)
        timesteps = drawn_timesteps(run, chance[0])
        x_t = add_noise(images, noise, timesteps, run.alpha_bar)
        eps = trained(x_t, timesteps + 1, images, chance[1:] >= config.dropout)
        of_ms, of_pan = tasks.errors(eps, noise)
        run.update(of_ms + of_pan, optimizer)
    run.close()


def drawn_timesteps(run: Run[CrossDiffConfig], chance: Tensor) -> Tensor:
    """One timestep (from 0) per patch, uniform on all of them or on the small ones."""
    timesteps = run.timesteps()
    return torch.where(chance < run.config.small_t, timesteps % SMALL, timesteps)


if __name__ == "__main__":
    sys.exit(quiet(main))
