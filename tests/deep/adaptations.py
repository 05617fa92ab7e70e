"""What the tests of adaptation share: jobs, models to start from, and progress that watches."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from whetstone.engine import Progress, library
from whetstone.engine.cards import Card
from whetstone.engine.deep import adaptation
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.deep.weights import save_model
from whetstone.engine.jobs import AdaptJob, RasterSource


class Watched(Progress):
    """Keeps what it is told; ``stop`` says by a message or an act whether to cancel from then."""

    def __init__(self, stop=lambda text: False):
        self.fractions, self.acts, self.notes = [], [], []
        self._stop, self._stopped = stop, False

    def update(self, fraction, text=""):
        self.fractions.append(fraction)
        self.acts.append(text)
        self._stopped |= self._stop(text)

    def message(self, text):
        self.notes.append(text)
        self._stopped |= self._stop(text)

    def cancelled(self):
        return self._stopped


def model_folder(tmp_path, patch):
    """An empty folder of models; none of the machine take part."""
    folder = tmp_path / "models"
    folder.mkdir()
    patch.setenv("WHETSTONE_MODELS", str(folder))
    patch.setattr(library, "BUNDLED", tmp_path / "bundled")
    return folder


def adapt_words(pair, out, *more):
    return [
        "adapt", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out),
        "--device", "cpu", "--threads", "1", "--json", *more,
    ]  # fmt: skip


def job_of(pair, out, **more):
    words = {"start": "scratch", "steps": 1, "device": "cpu", "threads": 1, **more}
    return AdaptJob(RasterSource.of(pair.pan), RasterSource.of(pair.ms), str(out), **words)


def fewer_patches(patch):
    """A quarter of the patches in every batch."""
    for name in ("BATCH", "FRESH", "NOISY"):
        if hasattr(adaptation, name):
            patch.setattr(adaptation, name, max(getattr(adaptation, name) // 4, 1))


def crossdiff_model(path, bands=4, ratio=2.0, **more):
    """Fresh weights with a card of what an adaptation writes; its path."""
    torch.manual_seed(1)
    card = Card(
        path.stem,
        "crossdiff",
        {"bands": bands, "centred": True},
        bands,
        ratio,
        normalisation={"kind": "standard"},
        limits=(None, None),
        **more,
    )
    save_model(path, CrossDiff(bands, centred=True), card)
    return str(path)


def parts_of(path):
    """The weights of a model by network: p2m, m2p, head."""
    found = {"p2m": {}, "m2p": {}, "head": {}}
    for name, tensor in load_file(path).items():
        part, _, rest = name.partition(".")
        if ".frozen_" not in name:
            found[part][rest] = tensor
    return found


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def left_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


class Scripted:
    """Stands in for ``score``: 3 for the yardsticks, then ERGAS as listed, the last one on."""

    def __init__(self, *values, yardsticks=2):
        self.values, self.yardsticks, self.calls = values, yardsticks, 0

    def __call__(self, chunks, images, ratio):
        self.calls += 1
        value = 3.0
        if self.calls > self.yardsticks:
            at = self.calls - self.yardsticks - 1
            value = self.values[min(at, len(self.values) - 1)]
        return {"ergas": value, "sam": 1.0, "q2n": 0.9}
