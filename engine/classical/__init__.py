"""The classical methods, each an *estimate* over the scene and an *apply* for any window."""

from __future__ import annotations

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

__all__ = ["METHODS", "Method", "Scene"]
