"""Necks: fuse the backbone's levels and add levels above them."""

from collections.abc import Mapping

from headrace_api import model
from headrace_trainer.network.necks.base import Neck
from headrace_trainer.network.necks.bi_fpn import BiFpn
from headrace_trainer.network.necks.fpn import Fpn
from headrace_trainer.network.necks.hybrid_encoder import HybridEncoder

__all__ = ["Neck", "build_neck"]


def build_neck(spec: model.Neck, channels: Mapping[int, int]) -> Neck:
    """The neck that `spec` describes, on a backbone with `channels` by level.

    Raises FatalError(BAD_MODEL) if the backbone lacks the bottom level.
    """
    levels = spec.bottom_level, spec.top_level
    if spec.bi_fpn is not None:
        return BiFpn(channels, spec.bi_fpn.channels, *levels, repeats=spec.bi_fpn.repeats)
    if spec.hybrid_encoder is not None:
        return HybridEncoder(channels, spec.hybrid_encoder.channels, *levels, repeats=spec.hybrid_encoder.repeats)
    assert spec.fpn is not None, "the contract gives exactly one neck"
    return Fpn(channels, spec.fpn.channels, *levels)
