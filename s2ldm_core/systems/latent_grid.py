"""Encoder, core and decoder of a system on the latent grid over a volume of any size: in tiles with an exact halo, or whole."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.systems.base import How
from s2ldm_core.tiling import Triple, tiled

ONE: Triple = (1, 1, 1)
_STEM_SCALE: Triple = (2, 2, 2)
_CORE: Triple = (4, 2, 2)
"""Larger tiles where a network lives on the latent grid alone: its halo is wide and its memory a fraction."""


def encoded(
    encoder: Encoder, encode: Callable[[Tensor], tuple[Tensor, Features]], x: Tensor, *, how: How
) -> tuple[Tensor, Features]:
    """``encode`` of an image ``(B, 1, D, H, W)`` whose sizes are multiples of `FACTOR`: latent, and features of ``encoder``."""

    def flat(part: Tensor) -> tuple[Tensor, ...]:
        z, features = encode(part)
        return z, *features

    z, stem, latent = _run(
        flat,
        [x],
        how=how,
        step="encode",
        input_scales=[FACTOR],
        output_scales=[ONE, _STEM_SCALE, ONE],
        halo=encoder.halo,
    )
    return z, Features(stem, latent)


def through_core(
    core: Denoiser, function: Callable[..., Tensor], inputs: list[Tensor], *, how: How, step: str
) -> Tensor:
    """``function``, which runs ``core``, of ``inputs`` on the latent grid."""
    (out,) = _run(
        lambda *parts: (function(*parts),),
        inputs,
        how=how,
        step=step,
        scale=_CORE,
        input_scales=[ONE] * len(inputs),
        output_scales=[ONE],
        halo=core.halo,
        align=core.stride,
    )
    return out


def decoded(decoder: Decoder, z: Tensor, features: Features, *, how: How) -> Tensor:
    """``decoder`` of latent and features, fp32."""
    return _decoded(
        lambda a, b, c: decoder(a, Features(b, c)), [z, *features], [ONE, _STEM_SCALE, ONE], halo=decoder.halo, how=how
    )


def decoded_difference(decoder: Decoder, z: Tensor, z_n: Tensor, *, how: How) -> Tensor:
    """``decoder`` of one latent − ``decoder`` of the other, fp32."""
    return _decoded(lambda a, b: decoder(a) - decoder(b), [z, z_n], [ONE, ONE], halo=decoder.halo, how=how)


def _decoded(
    function: Callable[..., Tensor], inputs: list[Tensor], scales: list[Triple], *, halo: Triple, how: How
) -> Tensor:
    (out,) = _run(
        lambda *parts: (function(*parts),),
        inputs,
        how=how,
        step="decode",
        input_scales=scales,
        output_scales=[FACTOR],
        halo=halo,
    )
    return out.float()


def _run(
    function: Callable[..., tuple[Tensor, ...]],
    inputs: list[Tensor],
    *,
    how: How,
    step: str,
    scale: Triple = ONE,
    **grid: Any,
) -> tuple[Tensor, ...]:
    report = how.reporter(step)
    if how.tile is not None:
        z, y, x = (max(1, n // f) * s for n, f, s in zip(how.tile, FACTOR, scale, strict=True))
        return tiled(function, inputs, tile=(z, y, x), on_tile=report, **grid)
    result = function(*inputs)
    if report is not None:
        report(1.0)
    return result
