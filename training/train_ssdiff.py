"""Train SSDiff from scratch (stage 1: both branches together).

    python training/train_ssdiff.py wv3 --patches patches.h5 --out runs/wv3
    accelerate launch --num_processes 2 training/train_ssdiff.py wv3 --patches ... --out ...

Writes DIR/<name>.safetensors with its card (averaged weights, best validation ERGAS), curves for
TensorBoard, history.csv, and state.pt to resume from.
"""

from __future__ import annotations

import sys

import torch
from whetstone.engine.deep.schedule import add_noise
from whetstone.engine.deep.ssdiff import objective

from runs import Run, parser, quiet


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="start", metavar="MODEL", help="weights to start from")
    args = arguments.parse_args()
    run = Run(args)
    if args.start:
        run.start_from(args.start)
    config = run.config
    optimizer = torch.optim.AdamW(run.network.parameters(), lr=config.lr, weight_decay=0.0)
    if args.resume:
        run.resume([optimizer])
    network, wrapped = run.accelerator.prepare(run.network, optimizer)
    network.train()
    while run.step < config.iterations:
        batch = run.draw(run.step)
        truth = batch.gt - batch.lms
        timesteps, eps = run.noise(run.step, truth)
        x_t = add_noise(config.residual_scale * truth, eps, timesteps, run.alpha_bar)
        with run.accelerator.autocast():
            residual = network(batch.pan, batch.lms, batch.ms, x_t, timesteps)
        run.update(objective(residual, truth), network, wrapped)
        if run.due():
            run.validate([optimizer])
    run.close()


if __name__ == "__main__":
    sys.exit(quiet(main))
