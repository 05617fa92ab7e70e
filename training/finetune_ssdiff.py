"""Fine-tune SSDiff branch by branch (stage 2, L-BAF: alternate freezing of one branch).

    python training/finetune_ssdiff.py wv3-finetune --from runs/wv3/wv3.safetensors \\
        --patches patches.h5 --out runs/wv3-finetune

Blocks of ``period`` iterations train the spectral and the spatial branch in turn. What belongs to
the other branch, and what both share, stays bit for bit: weights, batch-norm statistics, moments of
the optimiser, averages. Gradients flow through frozen layers to the trained ones.
"""

from __future__ import annotations

import sys

import torch
from config import SSDiffConfig
from runs import SAME_MODEL, Run, parser, quiet
from whetstone.engine.deep.schedule import add_noise
from whetstone.engine.deep.ssdiff import SSDiff, objective
from whetstone.engine.errors import WhetstoneError

#: The branches in turn, with the stem that holds a branch's batch norm.
STEMS = {"spectral": "spe_stem", "spatial": "spa_stem"}


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="start", metavar="MODEL", help="the model to improve")
    args = arguments.parse_args()
    if not (args.start or args.resume):
        raise WhetstoneError("CALL", "Nothing to fine-tune.", "Name a model with --from.")
    run = Run(args, SSDiffConfig, freezes=True)
    if args.start:
        run.start_from(args.start, SAME_MODEL)
    config = run.config
    optimizers = {
        branch: torch.optim.AdamW(
            [run.network.get_parameter(name) for name in run.network.branches()[branch]],
            lr=config.lr,
            weight_decay=0.0,
        )
        for branch in STEMS
    }
    network = run.begin(*optimizers.values())
    while run.step < config.iterations:
        branch = list(STEMS)[run.step // config.period % 2]
        run.ema.moving = train_only(run.network, branch)
        batch = run.draw()
        truth = batch.truth - batch.lms
        timesteps = run.timesteps()
        x_t = add_noise(config.residual_scale * truth, run.noise(truth), timesteps, run.alpha_bar)
        residual = network(batch.pan, batch.lms, batch.ms, x_t, timesteps)
        run.update(objective(residual, truth), optimizers[branch])
    run.close()


def train_only(network: SSDiff, branch: str) -> frozenset[str]:
    """Freeze all but a branch; returns the names of what it may change."""
    trained = network.branches()[branch]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    for other, stem in STEMS.items():
        getattr(network, stem).norm.train(other == branch)
    buffers = (name for name, _ in network.named_buffers() if name.startswith(STEMS[branch]))
    return frozenset([*trained, *buffers])


if __name__ == "__main__":
    sys.exit(quiet(main))
