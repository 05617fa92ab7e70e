"""Averaged weights."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from whetstone.engine.deep.ema import EMA


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1))


def fill(module, value):
    """Every parameter and floating-point buffer becomes ``value``."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.fill_(value)


def train(module, seed, ema, steps):
    """Some steps of noise on weights and statistics, each followed by an update."""
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn(p.shape, generator=g))
        module.train()(torch.randn(2, 2, 8, 8, generator=g))
        ema.update(module)


def states_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("decay", "kept"),
    [
        (0.9999, [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14]),
        (0.25, [1 / 10, 2 / 11, 0.25, 0.25, 0.25]),
    ],
)
def test_the_decay_warms_up(decay, kept):
    net = network()
    fill(net, 0)
    ema = EMA(net, decay)
    want = 0.0
    for k, share in enumerate(kept, 1):
        fill(net, k)
        ema.update(net)
        want = share * want + (1 - share) * k
        assert ema.network[0].weight.flatten()[0].item() == pytest.approx(want, rel=1e-6)


def test_the_decay_reaches_its_limit():
    net = network()
    ema = EMA(net, 0.9999)
    for updates, share in ((89_980, 89_981 / 89_990), (89_990, 0.9999), (10**6, 0.9999)):
        ema.updates = updates
        fill(ema.network, 1)
        fill(net, 0)
        ema.update(net)
        assert ema.network[0].bias[0].item() == pytest.approx(share, abs=1e-7)


def test_statistics_of_batch_norm_are_averaged_and_counters_copied():
    net = network()
    ema = EMA(net)
    train(net, 1, ema, 1)
    norm, mine = net[1], ema.network[1]
    torch.testing.assert_close(mine.running_mean, 0.9 * norm.running_mean)
    torch.testing.assert_close(mine.running_var, 0.1 + 0.9 * norm.running_var)
    assert mine.num_batches_tracked == 1
    train(net, 2, ema, 2)
    assert mine.num_batches_tracked == 3
    assert mine.num_batches_tracked.dtype == torch.int64


def test_constant_weights_stay():
    net = network()
    ema = EMA(net)
    for _ in range(50):
        ema.update(net)
    assert states_equal(ema.network, net)


def test_half_precision_weights_are_averaged_in_the_precision_of_the_shadow():
    net = network()
    ema = EMA(net)
    fill(net, 1)
    fill(ema.network, 0)
    ema.update(copy.deepcopy(net).bfloat16())
    assert ema.network[0].weight.dtype == torch.float32
    torch.testing.assert_close(ema.network[0].weight, torch.full((3, 2, 3, 3), 0.9))


def test_the_shadow_is_apart_from_the_network():
    net = network().train()
    ema = EMA(net)
    assert net.training
    assert not ema.network.training
    assert all(p.requires_grad for p in net.parameters())
    assert not any(p.requires_grad for p in ema.network.parameters())
    before = copy.deepcopy(ema.network)
    fill(net, 3)
    assert states_equal(ema.network, before)
    live = copy.deepcopy(net)
    ema.update(net)
    assert states_equal(net, live)


def test_a_resumed_average_goes_on_identically():
    net = network()
    ema = EMA(net, 0.6)
    train(net, 1, ema, 7)
    file = io.BytesIO()
    torch.save({"ema": ema.state_dict(), "net": net.state_dict()}, file)
    train(net, 2, ema, 7)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed_net = network(seed=9)
    resumed_net.load_state_dict(saved["net"])
    resumed = EMA(network(seed=8), 0.6)
    resumed.load_state_dict(saved["ema"])
    assert resumed.updates == 7
    train(resumed_net, 2, resumed, 7)
    assert states_equal(resumed.network, ema.network)
    assert resumed.updates == ema.updates == 14
