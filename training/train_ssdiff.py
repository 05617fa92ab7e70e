"""Train SSDiff (stage 1: both branches together), from scratch or from the weights of a model.

    python training/train_ssdiff.py wv3 --patches patches.h5 --out runs/wv3
    accelerate launch --multi_gpu training/train_ssdiff.py wv3 --patches ... --out ...

Writes DIR/<name>.safetensors with its card (averaged weights, best validation ERGAS), curves for
TensorBoard, history.csv, and state.pt to resume from.
"""

from __future__ import annotations

import sys

import torch
from config import SSDiffConfig
from runs import Run, parser, quiet
from whetstone.engine.deep.schedule import add_noise
from whetstone.engine.deep.ssdiff import objective


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="start", metavar="MODEL", help="weights to start from")
    args = arguments.parse_args()
    run = Run(args, SSDiffConfig)
    if args.start:
        run.start_from(args.start)
    config = run.config
    optimizer = torch.optim.AdamW(run.network.parameters(), lr=config.lr, weight_decay=0.0)
    network = run.begin(optimizer)
    while run.step < config.iterations:
        batch = run.draw()
        truth = batch.truth - batch.lms
        timesteps = run.timesteps()
        x_t = add_noise(config.residual_scale * truth, run.noise(truth), timesteps, run.alpha_bar)
        residual = network(batch.pan, batch.lms, batch.ms, x_t, timesteps)
        run.update(objective(residual, truth), optimizer)
    run.close()


if __name__ == "__main__":
    sys.exit(quiet(main))
