"""Statistics of the image in a network, and frozen for a scene: exact, in order, undone."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from plain_crossdiff import filled, images, normal
from torch import nn
from torch.nn import functional as F
from whetstone.engine.deep.crossdiff import REACH, CrossDiff
from whetstone.engine.deep.statistics import (
    ChannelMean,
    GroupNorm,
    learn,
    statistics,
    unfrozen,
)

CORE = 32


def norm(groups, channels, dtype=torch.float32):
    """One of ours with weights and biases that show."""
    layer = GroupNorm(groups, channels).to(dtype)
    with torch.no_grad():
        layer.weight.copy_(1 + 0.3 * normal(channels, seed=8))
        layer.bias.copy_(normal(channels, seed=9))
    return layer


def published(layer, x, shift):
    """The same by torch."""
    theirs = nn.GroupNorm(layer.groups, len(layer.weight)).to(x.dtype)
    theirs.load_state_dict(layer.state_dict())
    return theirs(x + shift[:, :, None, None])


def once(weights, run):
    """A scene of one window."""
    return lambda: [(weights, run)]


def moments_of(x):
    """What a layer sees in a whole image, float64."""
    x = x.double()
    return x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)


# -- layers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=str
)
@pytest.mark.parametrize(("groups", "channels"), [(1, 3), (4, 32), (8, 8)])
def test_group_norm_is_that_of_torch_behind_the_shift(groups, channels, dtype, tolerance):
    layer = norm(groups, channels, dtype)
    x = normal(2, channels, 9, 7, seed=1, dtype=dtype)
    for shift in (normal(2, channels, dtype=dtype), normal(1, channels, dtype=dtype)):
        got = layer(x, shift)
        assert got.dtype == dtype
        torch.testing.assert_close(got, published(layer, x, shift), atol=tolerance, rtol=0)


def test_half_precision_is_normalised_in_float32():
    layer = norm(4, 32)
    x, shift = (3 + normal(1, 32, 8, 8, seed=1)).bfloat16(), normal(1, 32).bfloat16()
    want = published(layer, x.float(), shift.float())
    torch.testing.assert_close(layer(x, shift), want, atol=1e-6, rtol=0)
    learn(layer, once(torch.ones(1, 1, 8, 8), lambda: layer(x, shift)))
    got = layer(x, shift)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), want, atol=0.03, rtol=0.01)


def test_channel_mean():
    x = normal(2, 5, 6, 4)
    layer = ChannelMean()
    torch.testing.assert_close(layer(x), x.mean((2, 3)), atol=1e-6, rtol=0)
    assert layer(x.bfloat16()).dtype == torch.float32
    learn(layer, once(torch.ones(1, 1, 6, 4), lambda: layer(x)))
    torch.testing.assert_close(layer(7 * x), x.mean((2, 3)), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mean", "deviation", "dtype", "tolerance"),
    [
        (0.0, 1.0, torch.float32, 1e-6),
        (0.5, 0.1, torch.float64, 1e-12),
        (100.0, 0.1, torch.float32, 1e-4),
    ],
)
def test_frozen_at_its_own_statistics_nothing_changes(mean, deviation, dtype, tolerance):
    layer = norm(4, 16, dtype)
    levels = mean * (1 + 0.001 * torch.arange(16, dtype=dtype))  # a group's channels differ, too
    x = levels[:, None, None] + deviation * normal(1, 16, 32, 32, seed=1, dtype=dtype)
    shift = 0.1 * normal(1, 16, dtype=dtype)
    with torch.no_grad():
        want = published(layer.double(), x.double(), shift.double())
        layer.to(dtype)
        learn(layer, once(torch.ones(1, 1, 32, 32), lambda: layer(x, shift)))
        got = layer(x, shift).double()
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


# -- scenes ---------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two convolutions, one of them on half the grid, each behind a statistic; and one unused."""

    def __init__(self):
        super().__init__()
        self.unused = ChannelMean()
        self.gate = ChannelMean()  # not in the order in which they are reached
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = GroupNorm(4, 8)
        self.conv2 = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.shift = nn.Parameter(normal(1, 8))

    def forward(self, x):
        x = self.conv2(F.silu(self.norm(self.conv1(x), self.shift)))
        return x * self.gate(x)[:, :, None, None]


class Pixels(nn.Module):
    """1x1 convolutions: a pixel knows of others by statistics only."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 4, 1)
        self.norm, self.gate = GroupNorm(2, 8), ChannelMean()

    def forward(self, x):
        x = self.conv2(F.silu(self.norm(self.conv1(x), torch.ones(1, 8))))
        return x * self.gate(x)[:, :, None, None]


def drawn(make, seed=0, **more):
    """A network of reproducible weights."""
    torch.manual_seed(seed)
    return make(**more).requires_grad_(False)


def tiles(height, width, halo):
    """(window with halo, core in the image, core in the window) as slices, clipped to the image."""
    for row, col in product(range(0, height, CORE), range(0, width, CORE)):
        top, left = max(row - halo, 0), max(col - halo, 0)
        window = (..., slice(top, row + CORE + halo), slice(left, col + CORE + halo))
        core = (..., slice(row, row + CORE), slice(col, col + CORE))
        yield (
            window,
            core,
            (..., *(slice(s - o, s - o + CORE) for s, o in ((row, top), (col, left)))),
        )


def tiled(run, inputs, halo):
    """Windows for :func:`learn`: weights 1 in the core and 0 in the halo."""
    for window, _, inner in tiles(*inputs[0].shape[-2:], halo):
        parts = [x[window] for x in inputs]
        weights = torch.zeros(1, 1, *parts[0].shape[-2:])
        weights[inner] = 1
        yield weights, lambda parts=parts: run(*parts)


def seen(network, run):
    """What every statistic layer is given in a run: {layer: x}, in the order of the calls."""
    found = {}
    handles = [
        layer.register_forward_pre_hook(lambda layer, args: found.update({layer: args[0]}))
        for layer in statistics(network)
    ]
    run()
    for handle in handles:
        handle.remove()
    return found


def assert_frozen_at(network, found, tolerance):
    """Every layer that was reached is frozen at its moments, the others are not frozen."""
    for layer in statistics(network):
        if layer not in found:
            assert layer.frozen is None
            continue
        for got, want in zip(layer.frozen, moments_of(found[layer]), strict=True):
            torch.testing.assert_close(got[0].double(), want, atol=tolerance, rtol=tolerance)


def test_tiles_of_a_small_network_freeze_what_the_image_shows():
    network = drawn(Small)
    image = normal(1, 3, 64, 96) + torch.linspace(-2, 3, 96)
    want = network(image)
    found = seen(network, lambda: network(image))
    learn(network, lambda: tiled(network, [image], halo=8))
    assert list(found) == [network.norm, network.gate]
    assert_frozen_at(network, found, 1e-6)
    torch.testing.assert_close(network(image), want, atol=1e-5, rtol=0)
    alone = network(image[..., 32:64, 32:64])[..., 4:12, 4:12]
    torch.testing.assert_close(alone, want[..., 20:28, 20:28], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "more"),
    [
        (torch.float32, 1e-5, {}),
        (torch.float64, 1e-11, {"finest_level": "reference", "gate": "sigmoid"}),
    ],
    ids=["float32", "float64, reference"],
)
def test_tiles_of_crossdiff_are_the_image(dtype, tolerance, more):
    network = drawn(CrossDiff, bands=3, **more).to(dtype)
    pan, lms, _ = images(3, 128, dtype)
    pan, lms = (x[..., :96, :] * torch.linspace(0.6, 1.4, 128, dtype=dtype) for x in (pan, lms))
    noise = normal(1, 4, 96, 128, dtype=dtype)

    def run(pan, lms, noise):
        return network(pan, lms, [noise])

    want = run(pan, lms, noise)
    found = seen(network, lambda: run(pan, lms, noise))
    assert len(found) == 9
    learn(network, lambda: tiled(run, [pan, lms, noise], REACH))
    assert_frozen_at(network, found, tolerance)
    torch.testing.assert_close(run(pan, lms, noise), want, atol=tolerance, rtol=0)
    joined = torch.full_like(want, torch.nan)
    for window, core, inner in tiles(96, 128, REACH):
        joined[core] = run(pan[window], lms[window], noise[window])[inner]
    torch.testing.assert_close(joined, want, atol=tolerance, rtol=0)
    with unfrozen(network):
        window, core, inner = list(tiles(96, 128, REACH))[5]
        naive = run(pan[window], lms[window], noise[window])[inner]
    assert (naive - want[core]).abs().max() > 0.01  # what freezing is for


def test_windows_without_a_halo_see_something_else():
    network = drawn(Small)
    image = normal(1, 3, 64, 96)
    want = moments_of(seen(network, lambda: network(image))[network.norm])
    learn(network, lambda: tiled(network, [image], halo=0))
    assert (network.norm.frozen.mean[0] - want[0]).abs().max() > 1e-4


def test_pixels_that_do_not_count_change_nothing():
    network = drawn(Pixels)
    image = normal(1, 2, 12, 20)
    weights = (normal(1, 1, 12, 20, seed=3) > 0).float()
    kept = image[..., weights[0, 0] > 0].unsqueeze(2)  # [1,2,1,n]
    learn(network, once(torch.ones(1, 1, 1, kept.shape[-1]), lambda: network(kept)))
    want = [layer.frozen for layer in statistics(network)]
    for fill in (0.0, 1.0, -3000.0):
        spoilt = torch.where(weights > 0, image, fill)
        learn(network, once(weights, lambda spoilt=spoilt: network(spoilt)))
        for layer, moments in zip(statistics(network), want, strict=True):
            torch.testing.assert_close(layer.frozen, moments, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(
            network(spoilt)[..., weights[0, 0] > 0], network(kept)[..., 0, :], atol=1e-6, rtol=1e-6
        )


def test_on_a_coarser_grid_pixels_count_by_the_share_that_counts():
    layer, x = ChannelMean(), normal(1, 3, 4, 6)
    weights = (normal(1, 1, 8, 12, seed=3) > 0).float()
    learn(layer, once(weights, lambda: layer(x)))
    share = weights.reshape(4, 2, 6, 2).mean((1, 3))
    want = (x * share).sum((2, 3)) / share.sum()
    torch.testing.assert_close(layer.frozen.mean, want, atol=1e-6, rtol=0)


def test_windows_without_any_pixel_that_counts_change_nothing():
    network, image = drawn(Pixels), normal(1, 2, 8, 8)
    learn(network, once(torch.ones(1, 1, 8, 8), lambda: network(image)))
    want = [layer.frozen for layer in statistics(network)]
    windows = [
        (torch.zeros(1, 1, 8, 8), lambda: network(1e6 + image)),
        (torch.ones(1, 1, 8, 8), lambda: network(image)),
    ]
    learn(network, lambda: windows)
    for layer, moments in zip(statistics(network), want, strict=True):
        torch.testing.assert_close(layer.frozen, moments, atol=0, rtol=0)


def test_a_small_deviation_survives_a_large_mean_and_an_outlying_first_window():
    layer = ChannelMean()
    windows = [level + 0.1 * normal(1, 4, 16, 16, seed=i) for i, level in enumerate((0, 100, 101))]
    ones = torch.ones(1, 1, 16, 16)
    for part in (windows, windows[1:]):
        learn(layer, lambda part=part: ((ones, lambda x=x: layer(x)) for x in part))
        mean, variance = moments_of(torch.cat(part))
        torch.testing.assert_close(layer.frozen.mean[0].double(), mean, atol=0, rtol=1e-6)
        torch.testing.assert_close(layer.frozen.variance[0].double(), variance, atol=0, rtol=1e-5)


# -- order, and what is left behind ---------------------------------------------------------------


def test_layers_are_learnt_in_the_order_in_which_they_are_reached():
    network, image = drawn(Small), normal(1, 3, 16, 16)
    order = []

    def windows():
        order.append([layer for layer in statistics(network) if layer.frozen is not None])
        runs.append(0)
        for _ in range(2):
            yield torch.ones(1, 1, 16, 16), run

    def run():
        runs[-1] += 1
        network(image)

    runs = []
    learn(network, windows)
    assert order == [[], [network.norm], [network.gate, network.norm]]
    assert runs == [2, 2, 1]  # one window shows that the unused layer is never reached


def test_what_was_frozen_is_learnt_anew():
    network = drawn(Pixels)
    one, other = normal(1, 2, 8, 8), 5 * normal(1, 2, 8, 8, seed=1)
    ones = torch.ones(1, 1, 8, 8)
    want = network(other)
    learn(network, once(ones, lambda: network(one)))
    assert not torch.allclose(network(other), want, atol=0.01)
    learn(network, once(ones, lambda: network(other)))
    torch.testing.assert_close(network(other), want, atol=1e-5, rtol=1e-5)


def test_unfrozen_restores():
    network = drawn(Pixels)
    one, other = normal(1, 2, 8, 8), 5 * normal(1, 2, 8, 8, seed=1)
    fresh = network(other)
    learn(network, once(torch.ones(1, 1, 8, 8), lambda: network(one)))
    kept, frozen = [layer.frozen for layer in statistics(network)], network(other)
    assert not torch.allclose(frozen, fresh, atol=0.01)
    with unfrozen(network):
        assert torch.equal(network(other), fresh)
    assert all(a is b.frozen for a, b in zip(kept, statistics(network), strict=True))
    with pytest.raises(ZeroDivisionError), unfrozen(network):
        raise ZeroDivisionError
    assert torch.equal(network(other), frozen)


def test_an_exception_leaves_no_recorder_behind():
    network, image = drawn(Pixels), normal(1, 2, 8, 8)
    want = network(image)

    def windows():
        yield torch.ones(1, 1, 8, 8), lambda: network(image)
        yield torch.ones(1, 1, 8, 8), lambda: 1 / 0

    with pytest.raises(ZeroDivisionError):
        learn(network, windows)
    assert torch.equal(network(image), want)  # a recorder would stop the pass


def test_frozen_statistics_are_no_part_of_the_weights():
    network, image = drawn(Pixels), normal(1, 2, 8, 8)
    names = list(network.state_dict())
    learn(network, once(torch.ones(1, 1, 8, 8), lambda: network(image)))
    assert list(network.state_dict()) == names


def test_several_timesteps_are_learnt_each():
    network = filled(3, timesteps=(50, 300)).float()
    pan, lms = normal(1, 1, 48, 64), normal(1, 3, 48, 64)
    want = network(pan, lms)
    learn(network, once(torch.ones(1, 1, 48, 64), lambda: network(pan, lms)))
    torch.testing.assert_close(network(pan, lms), want, atol=1e-4, rtol=0)
