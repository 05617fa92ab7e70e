"""What a job leaves beside its outputs when its process is killed, and how to clear it away.

A job that ends by itself leaves nothing, and one that is killed could be resumed from its part
files. Hosts that will not resume it remove them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from .jobs import AdaptJob, CompareJob, FuseJob
from .methods import DEEP
from .raster.output import remove_parts

if TYPE_CHECKING:
    from .jobs import Job


def remove_leftovers(job: Job) -> None:
    """Remove the unfinished files of a job whose process is gone."""
    if isinstance(job, FuseJob):
        images = [job.out, *([job.uncertainty] if job.uncertainty else [])]
    elif isinstance(job, CompareJob):
        names = (*job.methods, *DEEP, "pan_registered", "pan", "ms", "gt")
        images = [os.path.join(job.out_dir, f"{name}.tif") for name in names]
    else:
        images = []
    for image in images:
        remove_parts(image)
    model = job.out if isinstance(job, AdaptJob) else ""
    if isinstance(job, CompareJob) and job.adapt:
        model = os.path.join(job.out_dir, "crossdiff.safetensors")
    for suffix in (".part", ".card.part") if model else ():
        with suppress(OSError):
            os.remove(f"{model}{suffix}")
