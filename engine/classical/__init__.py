"""The classical methods, each an *estimate* over the scene and an *apply* for any window."""

from __future__ import annotations

from difflib import get_close_matches

from ..errors import WhetstoneError
from . import bdsd, multiresolution, pracs, substitution, tv  # noqa: F401 - they register methods
from .method import METHODS as _FOUND
from .method import Method
from .statistics import Scene

_ORDER = (
    "exp brovey gihs pca gs gsa bdsd bdsd-pc pracs bt-h hpf sfim atwt awlp mtf-glp mtf-glp-fs "
    "mtf-glp-hpm mtf-glp-hpm-r mtf-glp-hpm-h gs2-glp tv"
).split()
#: All classical methods by name, in the order they are listed everywhere.
METHODS: dict[str, Method] = {name: _FOUND[name] for name in _ORDER}

__all__ = ["METHODS", "Method", "Scene", "find_method"]


def find_method(name: str) -> Method:
    """The method called ``name`` (any case, "_" for "-"); refused with suggestions otherwise."""
    plain = name.strip().lower().replace("_", "-")
    if plain in METHODS:
        return METHODS[plain]
    near = get_close_matches(plain, list(METHODS), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise WhetstoneError(
        "METHOD_UNKNOWN", f"There is no method {name!r}.", f"{hint}All: {', '.join(METHODS)}."
    )
