"""All fusion methods by name: the classical ones, and the deep models that need torch to run."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Union

from .classical import METHODS as CLASSICAL
from .classical import Method
from .errors import WhetstoneError

if TYPE_CHECKING:
    from .jobs import FuseJob


@dataclass(frozen=True)
class DeepMethod:
    """A deep model with the words the user interfaces need; ``engine.deep`` does the work."""

    name: str
    title: str
    family: str
    summary: str
    source: str


AnyMethod = Union[Method, DeepMethod]

DEEP: dict[str, DeepMethod] = {
    "ssdiff": DeepMethod(
        "ssdiff",
        "SSDiff",
        "deep",
        "Spatial-spectral integrated diffusion: two branches predict the residual between the "
        "interpolated MS and the sharp image. Needs a trained model and torch.",
        "Zhong et al. 2024 (NeurIPS)",
    ),
    "crossdiff": DeepMethod(
        "crossdiff",
        "CrossDiff",
        "deep",
        "Cross-predictive diffusion: the encoders of two networks that learnt to predict MS from "
        "PAN and PAN from MS, and a head that fuses what they see. One pass, no truth needed to "
        "train it: 'whetstone adapt' trains it on your own scene. Needs torch.",
        "Xing et al. 2024 (IEEE TIP)",
    ),
}
#: Fields of a job that mean something to deep methods alone (seed and device do no harm) ...
DEEP_FIELDS = ("model", "samples", "uncertainty", "consistency", "precision")
#: ... and to one of them.
OWN_FIELDS = {
    "ssdiff": ("steps", "sampler", "batch"),
    "crossdiff": ("noise", "statistics", "preset"),
}
METHODS: dict[str, AnyMethod] = {**CLASSICAL, **DEEP}


def foreign_fields(job: FuseJob, method: AnyMethod) -> list[str]:
    """The fields that a job sets and that mean nothing to a method."""
    others = [name for of, names in OWN_FIELDS.items() if of != method.name for name in names]
    names = [*(() if isinstance(method, DeepMethod) else DEEP_FIELDS), *others]
    return [name for name in names if getattr(job, name) != getattr(type(job), name)]


def find_method(name: str) -> AnyMethod:
    """The method called ``name`` (any case, "_" for "-"); refused with suggestions otherwise."""
    plain = name.strip().lower().replace("_", "-")
    if plain in METHODS:
        return METHODS[plain]
    near = get_close_matches(plain, list(METHODS), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise WhetstoneError(
        "METHOD_UNKNOWN", f"There is no method {name!r}.", f"{hint}All: {', '.join(METHODS)}."
    )
