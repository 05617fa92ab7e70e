"""Checkpoints of SSDiff in the key layout of its authors' code."""

from __future__ import annotations

import re
from math import isqrt
from typing import Any

from ..cards import Card
from .checkpoint import Checkpoint
from .ssdiff import NORM_GROUPS, SSDiff

#: Modules of the release and ours, {k} being each of the numbers (spec §2.9; "upsamle" is theirs).
_MODULES = """
0      upsample.upsamle.0                      lr_up.conv
0      time_embed.0                            time_mlp.fc1
0      time_embed.2                            time_mlp.fc2
0      conv_pan2x_t                            spa_stem.conv
0      emb_layers_pan.1                        spa_stem.time
0      out_layers_pan.0                        spa_stem.norm
0      out_layers_pan.3                        spa_stem.out
0      conv_lms2x_t                            spe_stem.conv
0      emb_layers_lms.1                        spe_stem.time
0      out_layers_lms.0                        spe_stem.norm
0      out_layers_lms.3                        spe_stem.out
01234  fusformer{k}.layers.0.0.fn.norm         apfm.{k}.norm
01234  fusformer{k}.layers.0.0.fn.fn.sa1       apfm.{k}.t_a
01234  fusformer{k}.layers.0.0.fn.fn.sa2       apfm.{k}.t_b
01234  fusformer{k}.layers.0.0.fn.fn.se1       apfm.{k}.t_c
01234  fusformer{k}.layers.0.0.fn.fn.se2       apfm.{k}.t_d
01234  fusformer{k}.layers.0.0.fn.fn.to_out.0  apfm.{k}.proj
01234  fusformer{k}.layers.0.1.fn.norm         apfm.{k}.ff_norm
01234  fusformer{k}.layers.0.1.fn.fn.net.0     apfm.{k}.ff1
01234  fusformer{k}.layers.0.1.fn.fn.net.3     apfm.{k}.ff2
01     down{k}.conv.0                          down.{k}.squeeze
01     down{k}.conv.2                          down.{k}.pw
01     down{k}.conv.3                          down.{k}.dw
01     up{k}.up1.0                             up.{k}.deconv
01     up{k}.conv                              up.{k}.conv
0123   resblock{k}.conv0                       res.{k}.conv1
0123   resblock{k}.conv1                       res.{k}.conv2
0123   resblock{k}.emb_layers.1                res.{k}.time
0123   resblock{k}.out_layers.0                res.{k}.norm
0123   resblock{k}.out_layers.3                res.{k}.out
0      to_hrms.0                               head.conv1
0      to_hrms.2                               head.conv2
"""
RELEASE = {
    theirs.format(k=k): ours.format(k=k)
    for numbers, theirs, ours in (line.split() for line in _MODULES.split("\n") if line)
    for k in numbers
}
#: Layers of the release that no output depends on.
_DEAD = re.compile(r"(raise_ms_dim|raise_pan_dim|conv_x_t|down[01]\.maxpool_conv|up[01]\.up0)\.")


def from_release(file: Checkpoint) -> tuple[SSDiff, Card]:
    """The network in a checkpoint of the authors' code, and what the file says for its card."""
    out, bands = file.shape(
        "upsample.upsamle.0.weight",
        "(bands x ratio², bands, 3, 3)",
        lambda s: s[0] == s[1] * isqrt(s[0] // s[1]) ** 2,
    )[:2]
    width = file.shape(
        "to_hrms.2.weight",
        f"({bands}, width, 3, 3) with a width that is a multiple of {NORM_GROUPS}",
        lambda s: s[0] == bands and s[1] % NORM_GROUPS == 0,
    )[1]
    ratio = isqrt(out // bands)
    parameters: dict[str, Any] = {
        "bands": bands,
        "ratio": ratio,
        "width": width,
        "share_resample": True,
    }
    network = SSDiff(**parameters)
    file.put_into(network, RELEASE, _DEAD)
    card = Card(
        name=file.path.stem,
        architecture="ssdiff",
        parameters=parameters,
        bands=bands,
        ratio=ratio,
        window=64 if ratio != 3 else 60,
        phase=float(ratio // 2),  # the published data decimate there
        training=file.origin(),
    )
    return network, card
