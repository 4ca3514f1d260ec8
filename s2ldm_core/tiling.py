"""Exact-halo tiling: a fully convolutional function over a volume of any size, tile by tile, with the whole volume's numbers; and
blended tiles for the other functions.

Grids are nested: every input and output is ``scale`` times finer than a common *base grid* (the latent grid). A tile is read with
``halo`` base voxels of neighbourhood on every side that is not the volume's own border, and only its inside is kept.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from types import EllipsisType

import torch
from torch import Tensor

Triple = tuple[int, int, int]
TILE: Triple = (32, 192, 192)
"""Voxels of the model grid a tile: about 96 × 288 × 288 mm at 3 × 1.5 × 1.5 mm, which bounds a tile's working memory to some 1.5 GiB."""
_SHORT, _BEYOND = 32, 8
"""Slices of the model grid: a stack of fewer is short, and so many are put beyond each end of it."""
_BLENDED = 0.25
"""Share of a tile that its neighbour sees as well where tiles are blended."""


def tiled(
    function: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    *,
    input_scales: Sequence[Triple],
    output_scales: Sequence[Triple],
    halo: Triple,
    tile: Triple,
    align: Triple = (1, 1, 1),
    on_tile: Callable[[float], None] | None = None,
) -> tuple[Tensor, ...]:
    """Apply ``function(*input tiles) -> output tiles`` over ``inputs`` ``(B, C, …)``.

    ``tile`` is rounded up to multiples of ``align`` (the function's own stride in base voxels), and so is ``halo``, which must be at
    least the function's receptive radius; results then equal ``function(*inputs)`` to rounding. ``on_tile`` gets the fraction done.
    """
    size = tuple(n // s for n, s in zip(inputs[0].shape[2:], input_scales[0], strict=True))
    step = tuple(_round_up(t, a) for t, a in zip(tile, align, strict=True))
    margin = tuple(_round_up(h, a) for h, a in zip(halo, align, strict=True))
    if all(n <= s for n, s in zip(size, step, strict=True)):
        whole = function(*inputs)
        if on_tile is not None:
            on_tile(1.0)
        return whole
    outputs: list[Tensor] = []
    boxes = list(product(*(_spans(n, s, m) for n, s, m in zip(size, step, margin, strict=True))))
    for index, box in enumerate(boxes):
        parts = [x[_index([(r0, r1) for (_, _, r0, r1) in box], s)] for x, s in zip(inputs, input_scales, strict=True)]
        results = function(*parts)
        if not outputs:
            outputs = [
                r.new_empty((*r.shape[:2], *(n * s for n, s in zip(size, scale, strict=True))))
                for r, scale in zip(results, output_scales, strict=True)
            ]
        inside = [(k0 - r0, k1 - r0) for (k0, k1, r0, _) in box]
        kept = [(k0, k1) for (k0, k1, _, _) in box]
        for out, result, scale in zip(outputs, results, output_scales, strict=True):
            out[_index(kept, scale)] = result[_index(inside, scale)]
        if on_tile is not None:
            on_tile((index + 1) / len(boxes))
    return tuple(outputs)


def blended(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    tile: Triple,
    multiple_of: Triple,
    on_tile: Callable[[float], None] | None = None,
) -> Tensor:
    """Apply ``function(tile) -> tile`` of any channels over ``x`` ``(B, C, D, H, W)`` in tiles that overlap, faded into each other.

    For functions that no halo makes exact (instance norm, attention). ``tile`` is rounded up to ``multiple_of``, of which the sizes of
    ``x`` must be multiples. The result is the function's own where a single tile holds all of ``x``; an axis along which a tile is one
    voxel is cut into slices, without overlap.
    """
    whole = (x.shape[2], x.shape[3], x.shape[4])
    size = tuple(min(n, _round_up(t, m)) for n, t, m in zip(whole, tile, multiple_of, strict=True))
    places = list(product(*(_starts(n, s) for n, s in zip(whole, size, strict=True))))
    if len(places) == 1:
        result = function(x)
        if on_tile is not None:
            on_tile(1.0)
        return result
    weight = torch.ones(size, device=x.device)
    for axis, n in enumerate(size):
        place = torch.arange(1, n + 1, device=x.device, dtype=torch.float32)
        fade = (torch.minimum(place, n + 1 - place) / max(1.0, _BLENDED * n)).clamp(max=1)
        weight = weight * fade.view([n if other == axis else 1 for other in range(3)])
    total, weights = x.new_zeros(0, dtype=torch.float32), torch.zeros(whole, device=x.device)
    for number, corner in enumerate(places):
        z, y, w = (slice(o, o + s) for o, s in zip(corner, size, strict=True))
        result = function(x[..., z, y, w]).float()
        if not number:
            total = result.new_zeros((*result.shape[:2], *whole))
        total[..., z, y, w] += result * weight
        weights[z, y, w] += weight
        if on_tile is not None:
            on_tile((number + 1) / len(places))
    return total / weights


def pad_to_multiple(x: Tensor, multiple: Triple) -> tuple[Tensor, tuple[slice, slice, slice]]:
    """Edge-replicate ``(B, C, D, H, W)`` at the far ends to multiples; also returns the slices that undo it."""
    size = x.shape[2:]
    target = [_round_up(n, m) for n, m in zip(size, multiple, strict=True)]
    undo = (slice(0, size[0]), slice(0, size[1]), slice(0, size[2]))
    if list(size) == target:
        return x, undo
    pad = [p for n, t in zip(reversed(size), reversed(target), strict=True) for p in (0, t - n)]
    return torch.nn.functional.pad(x, pad, mode="replicate"), undo


def beyond_its_ends(x: Tensor) -> tuple[Tensor, slice]:
    """``(B, C, D, H, W)``, if short, with its first and last slice repeated beyond its ends; and where its own slices lie then.

    Beyond the ends convolutions see zeros, which are no tissue, and of a short stack no slice is far from them. Of a long one this
    would change the outermost centimetre alone (docs/results/real-pairs, short stacks).
    """
    depth = x.shape[2]
    beyond = _BEYOND if depth < _SHORT else 0
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, beyond, beyond), mode="replicate")
    return padded, slice(beyond, beyond + depth)


def _spans(size: int, step: int, margin: int) -> Iterator[tuple[int, int, int, int]]:
    """(keep from, keep to, read from, read to) along one axis."""
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield start, stop, max(0, start - margin), min(size, stop + margin)


def _starts(size: int, tile: int) -> list[int]:
    """Where tiles begin along one axis: as even as they get, the last one at the end."""
    step = max(1, tile - int(_BLENDED * tile))
    count = 1 + math.ceil((size - tile) / step)
    return [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]


def _index(spans: Sequence[tuple[int, int]], scale: Triple) -> tuple[EllipsisType | slice, ...]:
    """Index of a box given in base voxels, on a grid ``scale`` times finer."""
    return (..., *(slice(a * s, b * s) for (a, b), s in zip(spans, scale, strict=True)))


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
