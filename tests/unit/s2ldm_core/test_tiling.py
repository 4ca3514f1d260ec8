"""Whole and tiled evaluation agree to 1e-4 for encoder, decoder, denoiser and whole systems."""

from typing import Any

import pytest
import torch

from s2ldm_core.networks.autoencoder import FACTOR, Decoder, Encoder, Features
from s2ldm_core.networks.denoiser import Denoiser
from s2ldm_core.systems import Condition, How, build_system
from s2ldm_core.tiling import beyond_its_ends, blended, pad_to_multiple, tiled

ONE, STEM = (1, 1, 1), (2, 2, 2)
SMALL = {"channels": (4, 6), "blocks": (1, 2), "latent": 3}


def _wake(module: Any) -> Any:
    """Zero-initialised layers would hide differences: give every weight a value."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


@torch.inference_mode()
def test_encoder_tiles_exactly() -> None:
    encoder = _wake(Encoder(**SMALL))
    x = torch.randn(1, 1, 32, 64, 48)

    def parts(part: Any) -> Any:
        z, features = encoder(part)
        return z, features.stem, features.latent

    whole = parts(x)
    pieces = tiled(parts, [x], input_scales=[FACTOR], output_scales=[ONE, STEM, ONE], halo=encoder.halo, tile=(4, 5, 4))
    for a, b in zip(whole, pieces, strict=True):
        assert (a - b).abs().max() < 1e-4 * a.abs().max()


@torch.inference_mode()
@pytest.mark.parametrize("source_conditioned", [True, False])
def test_decoder_tiles_exactly(source_conditioned: bool) -> None:
    decoder = _wake(Decoder(**SMALL, source_conditioned=source_conditioned))
    z, stem, latent = torch.randn(1, 3, 16, 16, 12), torch.randn(1, 4, 32, 32, 24), torch.randn(1, 6, 16, 16, 12)

    def decode(a: Any, b: Any, c: Any) -> Any:
        return (decoder(a, Features(b, c)),)

    (whole,) = decode(z, stem, latent)
    (pieces,) = tiled(
        decode,
        [z, stem, latent],
        input_scales=[ONE, STEM, ONE],
        output_scales=[FACTOR],
        halo=decoder.halo,
        tile=(3, 4, 4),
    )
    assert (whole - pieces).abs().max() < 1e-4 * whole.abs().max()


@torch.inference_mode()
def test_denoiser_tiles_exactly_with_its_halo_and_not_without() -> None:
    denoiser = _wake(Denoiser(in_channels=2, out_channels=2, channels=(4, 4, 6), phases=2))
    x, t, phase = torch.randn(1, 2, 64, 8, 8), torch.tensor([0.4]), torch.tensor([1])

    def step(part: Any) -> Any:
        return (denoiser(part, t=t, phase=phase),)

    (whole,) = step(x)
    grid = {"input_scales": [ONE], "output_scales": [ONE], "tile": (8, 8, 8), "align": denoiser.stride}
    (pieces,) = tiled(step, [x], halo=denoiser.halo, **grid)
    assert (whole - pieces).abs().max() < 1e-4 * whole.abs().max()
    (short,) = tiled(step, [x], halo=(0, 8, 8), **grid)
    assert (whole - short).abs().max() > 1e-4 * whole.abs().max()


@torch.inference_mode()
@pytest.mark.parametrize(("kind", "steps"), [("plain", 1), ("vq", 3), ("kl", 1)])
def test_a_whole_translation_tiles_exactly(kind: str, steps: int) -> None:
    config = {"autoencoder": {"kind": kind, "codes": 32, **SMALL}, "diffusion": {"channels": (4, 6)}}
    system = _wake(build_system("s2ldm", config))
    x, phase = torch.rand(1, 1, 42, 70, 60) * 2 - 1, Condition(phase=torch.tensor([0]))
    whole = system.predict_change(x, phase, How(steps=steps, generator=torch.Generator().manual_seed(3)))
    pieces = system.predict_change(
        x, phase, How(steps=steps, generator=torch.Generator().manual_seed(3), tile=(4, 16, 16))
    )
    assert whole.shape == x.shape
    assert (whole - pieces).abs().max() < 1e-4 * whole.abs().max()


@torch.inference_mode()
def test_a_difference_decoder_tiles_exactly() -> None:
    config = {
        "autoencoder": {"kind": "plain", "source_conditioned": False, "difference": True, **SMALL},
        "diffusion": {"channels": (4, 6)},
    }
    system = _wake(build_system("s2ldm", config))
    x, phase = torch.rand(1, 1, 42, 70, 60) * 2 - 1, Condition(phase=torch.tensor([0]))
    whole, pieces = (system.predict_change(x, phase, How(tile=tile)) for tile in (None, (4, 16, 16)))
    assert (whole - pieces).abs().max() < 1e-4 * whole.abs().max()


@torch.inference_mode()
def test_the_unet_tiles_exactly() -> None:
    system = _wake(build_system("unet", {**SMALL, "core_channels": (4, 6)}))
    x, phase = torch.rand(1, 1, 36, 64, 40) * 2 - 1, Condition(phase=torch.tensor([1]))
    whole, pieces = (system.predict_change(x, phase, How(tile=tile)) for tile in (None, (4, 16, 16)))
    assert (whole - pieces).abs().max() < 1e-4 * whole.abs().max()


def test_padding_is_undone() -> None:
    x = torch.randn(1, 1, 5, 6, 7)
    padded, undo = pad_to_multiple(x, (4, 4, 4))
    assert padded.shape[2:] == (8, 8, 8)
    assert torch.equal(padded[(..., *undo)], x)
    assert torch.equal(padded[..., -1], padded[..., 6])


def test_only_a_short_stack_goes_on_beyond_its_ends_with_its_outermost_slices() -> None:
    short, long = torch.rand(1, 2, 31, 4, 5), torch.rand(1, 2, 32, 4, 5)
    padded, inside = beyond_its_ends(short)
    assert torch.equal(padded[:, :, inside], short)
    assert inside.start == padded.shape[2] - inside.stop > 0
    assert torch.equal(padded[:, :, : inside.start], short[:, :, :1].expand(-1, -1, inside.start, -1, -1))
    assert torch.equal(padded[:, :, inside.stop :], short[:, :, -1:].expand(-1, -1, inside.start, -1, -1))
    assert torch.equal(beyond_its_ends(long)[0], long)


def test_blended_tiles_of_a_pointwise_function_are_the_whole() -> None:
    x = torch.randn(1, 1, 20, 30, 44)
    seen = []

    def twice(part: Any) -> Any:
        seen.append(tuple(part.shape[2:]))
        return 2 * part

    fractions: list[float] = []
    result = blended(twice, x, tile=(7, 12, 16), multiple_of=(4, 4, 4), on_tile=fractions.append)
    assert torch.allclose(result, 2 * x, atol=1e-5)
    assert set(seen) == {(8, 12, 16)}
    assert fractions[-1] == 1.0


def test_tiles_that_disagree_fade_into_each_other() -> None:
    values = iter(range(100))
    line = blended(
        lambda part: torch.full_like(part, next(values)), torch.zeros(1, 1, 1, 1, 14), tile=(1, 1, 8), multiple_of=ONE
    )
    steps = line.flatten().diff()
    assert (line.flatten()[0], line.flatten()[-1]) == (0.0, 1.0)
    assert steps.min() >= 0
    assert steps.max() < 1.0


def test_tiles_of_one_slice_do_not_overlap() -> None:
    seen = []

    def note(part: Any) -> Any:
        seen.append(part.shape)
        return part

    x = torch.randn(1, 1, 5, 8, 8)
    assert torch.equal(blended(note, x, tile=(1, 8, 8), multiple_of=ONE), x)
    assert seen == [(1, 1, 1, 8, 8)] * 5
