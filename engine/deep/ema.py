"""The exponential moving average of a network's weights, with warm-up."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A shadow of a network, on the same device; buffers (batch-norm statistics) are averaged too.

    The decay of update k is min(decay, (1 + k) / (10 + k)): without that warm-up the random
    initial weights linger for tens of thousands of steps.
    """

    def __init__(self, network: nn.Module, decay: float = 0.9999) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self.updates = decay, 0
        #: Names of the tensors that are averaged; the others stay as they are. None: all.
        self.moving: frozenset[str] | None = None

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the shadow towards the network's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        theirs = network.state_dict()
        for name, mine in self.network.state_dict().items():
            if self.moving is not None and name not in self.moving:
                continue
            if mine.is_floating_point():
                mine.lerp_(theirs[name].to(mine.dtype), 1 - decay)
            else:
                mine.copy_(theirs[name])

    def state_dict(self) -> dict[str, object]:
        """What a resumed run needs."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]
