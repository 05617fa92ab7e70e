"""Distil SSDiff to one step: a student that gives at once what its teacher averages over noises.

    python training/distill_ssdiff.py wv3-distill --from runs/wv3/wv3.safetensors \\
        --patches patches.h5 --out runs/wv3-fast

The teacher samples every batch in its own number of steps from ``draws`` noises; the mean is what
the student, the same network at the last timestep and x_t = 0, learns beside the truth.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from config import SSDiffConfig
from patches import Draw
from runs import SAME_MODEL, Run, parser, quiet
from torch import Tensor
from whetstone.engine.deep.sampling import Batch, sample
from whetstone.engine.deep.ssdiff import objective
from whetstone.engine.deep.weights import Model
from whetstone.engine.errors import WhetstoneError


def main() -> None:
    """The whole run."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--from", dest="teacher", metavar="MODEL", required=True, help="the teacher"
    )
    args = arguments.parse_args()
    run = Run(args, SSDiffConfig)
    teacher = run.start_from(args.teacher, SAME_MODEL, role="teacher")
    if teacher.card.start != "noise":
        raise WhetstoneError("MODEL_MISMATCH", f"{args.teacher} is a one-step student itself.")
    run.card = replace(run.card, start="zero", steps=1)
    config = run.config
    optimizer = torch.optim.AdamW(run.network.parameters(), lr=config.lr, weight_decay=0.0)
    network = run.begin(optimizer)
    while run.step < config.iterations:
        batch = run.draw()
        taught = posterior_mean(run, teacher, batch) - batch.lms
        x_t = torch.zeros_like(batch.lms)
        last = torch.full((len(x_t),), len(run.alpha_bar) - 1, device=run.device)
        residual = network(batch.pan, batch.lms, batch.ms, x_t, last)
        loss = objective(residual, taught)
        loss = loss + config.truth_weight * objective(residual, batch.truth - batch.lms)
        run.update(loss, optimizer)
    run.close()


def posterior_mean(run: Run[SSDiffConfig], teacher: Model, batch: Draw) -> Tensor:
    """The teacher's image, the mean over several noises."""
    inputs = Batch(batch.pan, batch.lms, batch.ms)
    precision = "fp32" if run.config.precision == "no" else run.config.precision
    steps = teacher.card.steps
    images = [
        sample(teacher, inputs, lambda _, x=noise: x, steps=steps, precision=precision)
        for noise in (run.noise(batch.lms, number) for number in range(run.config.draws))
    ]
    return torch.stack(images).mean(0)


if __name__ == "__main__":
    sys.exit(quiet(main))
