"""Eq. 2 and the stages of S2LDM."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2ldm_core.organ_bias import false_change, organ_bias
from s2ldm_core.systems import Batch, Condition, How, Turn, build_system
from s2ldm_core.systems.change_loss import voxel_error

NETWORK = {"channels": (4, 6), "blocks": (1, 1), "latent": 3}


def _system(**config: Any) -> Any:
    torch.manual_seed(0)
    ae = {**NETWORK, "kind": "plain", **config.pop("autoencoder", {})}
    diffusion = {"channels": (4, 6), **config.pop("diffusion", {})}
    return build_system("s2ldm", {"autoencoder": ae, "diffusion": diffusion, **config})


@pytest.fixture
def batch() -> Any:
    g = torch.Generator().manual_seed(0)
    source = torch.rand(2, 1, 8, 32, 32, generator=g) * 1.6 - 0.8
    images = {"source": source, "change": 0.5 * torch.rand(source.shape, generator=g)}
    return Batch(images=images, condition=Condition(phase=torch.tensor([0, 1])))


def test_l_auto_is_the_weighted_sum_of_its_parts(batch: Any) -> None:
    weights = {"rec": 2.0, "quant": 3.0, "sim": 0.5}
    system = _system(autoencoder={"kind": "vq", "codes": 16}, frequency={"mode": "none"}, loss=weights).train()
    loss, parts = system.loss("autoencoder", "autoencoder", batch, Turn(0.1))
    expected = 2.0 * parts["rec"] + 3.0 * parts["quant"] + 0.5 * parts["similarity"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_reconstruction_is_against_the_high_frequency_enhanced_target(batch: Any) -> None:
    plain = _system(frequency={"mode": "none"}).loss("autoencoder", "autoencoder", batch, Turn(0.0))[1]["rec"]
    sharp = _system(frequency={"mode": "unsharp", "gain": 0.5}).loss("autoencoder", "autoencoder", batch, Turn(0.0))[1][
        "rec"
    ]
    annealed = _system(frequency={"mode": "unsharp", "gain": 0.5}).loss("autoencoder", "autoencoder", batch, Turn(1.0))[
        1
    ]["rec"]
    assert sharp > plain
    assert annealed.item() == pytest.approx(plain.item(), rel=1e-5)


def test_the_bias_of_an_organ_is_its_squared_mean_error_and_every_crop_counts_alike() -> None:
    organs, error = torch.zeros(2, 1, 2, 5, 20, dtype=torch.uint8), torch.full((2, 1, 2, 5, 20), 5.0)

    def block(crop: Any, column: Any, width: Any, label: Any, value: Any) -> None:
        organs[crop, 0, 0, :, column : column + width] = label
        error[crop, 0, 0, :, column : column + width] = value

    block(0, 2, 4, 3, 0.2)  # inside: 2 columns of 5 rows
    block(0, 9, 5, 9, -0.1)
    block(1, 2, 5, 3, -0.4)
    block(1, 10, 4, 9, 0.7)
    first, second = (0.2**2 + 0.1**2) / 2, (0.4**2 + 0.7**2) / 2
    assert organ_bias(error, organs, fewest=10).item() == pytest.approx((first + second) / 2, rel=1e-5)
    assert organ_bias(error, organs, fewest=11).item() == pytest.approx(
        (0.1**2 + 0.4**2) / 2, rel=1e-5
    )  # ten voxels are too few
    assert organ_bias(error, torch.zeros_like(organs)).item() == 0.0


def test_the_bias_of_an_organ_leaves_its_outline_and_branches_without_an_inside_out() -> None:
    organs, error = torch.zeros(1, 1, 2, 8, 12, dtype=torch.uint8), torch.zeros(1, 1, 2, 8, 12)
    organs[..., 0, 2:7, 2:7], error[..., 0, 2:7, 2:7] = 4, 9.0
    error[..., 0, 3:6, 3:6] = 0.3  # 3 × 3 voxels inside
    organs[..., 0, :, 9:11], error[..., 0, :, 9:11] = 4, 9.0  # two voxels wide: all outline
    organs[..., 1, 2:4, 2:10], error[..., 1, 2:4, 2:10] = 7, 9.0
    assert organ_bias(error, organs, fewest=9).item() == pytest.approx(0.3**2, rel=1e-5)
    assert organ_bias(error, organs, fewest=10).item() == 0.0


def test_a_false_change_is_the_bias_of_organs_that_do_not_enhance() -> None:
    organs = torch.zeros(2, 1, 2, 5, 20, dtype=torch.uint8)
    error, change = torch.zeros(2, 1, 2, 5, 20), torch.zeros(2, 1, 2, 5, 20)

    def block(crop: int, column: int, label: int, *, wrong: float, true: float) -> None:
        place = (crop, 0, 0, slice(None), slice(column, column + 5))
        organs[place], error[place], change[place] = label, wrong, true
        change[place][0] += 0.02 if true else 0.0  # it is the mean that tells

    block(0, 2, 3, wrong=0.2, true=0.0)
    block(0, 9, 9, wrong=0.9, true=0.5)
    block(0, 14, 11, wrong=0.4, true=-0.025)  # 9 HU
    block(1, 2, 9, wrong=0.3, true=0.0)  # what does not enhance in this crop
    block(1, 10, 3, wrong=0.7, true=-0.033)  # 11 HU less
    ten_hu = 10 / 350
    assert false_change(error, change, organs, most=ten_hu, fewest=10).item() == pytest.approx(
        ((0.2**2 + 0.4**2) / 2 + 0.3**2) / 2, rel=1e-5
    )
    assert false_change(error, change, organs, most=0.02, fewest=10).item() == pytest.approx(
        (0.2**2 + 0.3**2) / 2, rel=1e-5
    )
    assert false_change(error, torch.ones_like(error), organs, most=ten_hu).item() == 0.0


def test_fine_tuning_weighs_the_bias_of_organs_only_where_organs_are_known(batch: Any) -> None:
    torch.manual_seed(0)
    labelled = replace(
        batch,
        organs=torch.ones_like(batch.source, dtype=torch.uint8).index_fill_(4, torch.arange(6), 2),
    )
    still = labelled.images | {"change": labelled.change * torch.where(labelled.organs == 1, 1.0, 0.05)}
    labelled = replace(labelled, images=still)
    system = _system(loss={"organ_bias": 2.0, "false_change": 3.0, "finetune_flow": 0.0}).train()
    without, parts = system.loss("finetune", "finetune", replace(labelled, organs=None), Turn(0.5))
    assert not {"organ_bias", "false_change"} & set(parts)
    loss, parts = system.loss("finetune", "finetune", labelled, Turn(0.5))
    weighed = 2.0 * parts["organ_bias"].item() + 3.0 * parts["false_change"].item()
    assert loss.item() == pytest.approx(without.item() + weighed, rel=1e-5)
    assert parts["organ_bias"] > 0
    assert parts["false_change"] > 0
    stricter = _system(loss={"false_change": 3.0, "false_change_most": 0.0, "finetune_flow": 0.0}).train()
    assert stricter.loss("finetune", "finetune", labelled, Turn(0.5))[1]["false_change"] == 0.0


def test_the_adversarial_term_starts_when_it_is_told_to(batch: Any) -> None:
    system = _system(loss={"adv": 0.1, "adv_start": 0.25})
    judged: list[Any] = []
    system.discriminator = _Judge(judged)
    early, _ = system.loss("autoencoder", "autoencoder", batch, Turn(0.2))
    assert judged == []
    turn = Turn(0.3)
    late, parts = system.loss("autoencoder", "autoencoder", batch, turn)
    assert late.item() - early.item() == pytest.approx(0.7, abs=1e-4)
    assert parts["adversarial"].item() == 7.0
    system.loss("autoencoder", "discriminator", batch, turn)
    image, real, fake = judged
    assert torch.equal(fake, image.detach())
    assert not fake.requires_grad
    assert torch.equal(real, batch.target)
    _, judge = system.players("autoencoder")
    assert judge.start == 0.25


class _Judge(torch.nn.Module):
    def __init__(self, judged: Any) -> None:
        super().__init__()
        self.judged = judged

    def forward(self, image: Any) -> Any:
        self.judged.append(image)
        return torch.tensor(-7.0)


def test_the_discriminator_neither_ships_nor_stays_in_a_built_system() -> None:
    system = _system(loss={"adv": 0.1})
    assert any(key.startswith("discriminator.") for key in system.state_dict())
    shipped = system.shipped()
    assert not any(key.startswith("discriminator.") for key in shipped)
    other = _system(loss={"adv": 0.1})
    other.load_shipped(shipped)
    other.strip()
    assert other.state_dict().keys() == shipped.keys()


def test_every_stage_has_a_discriminator_of_its_own() -> None:
    system = _system(loss={"adv": 0.1})
    torch.manual_seed(1)
    system.begin_stage("autoencoder")
    first = system.discriminator.judge.weight.clone()
    torch.manual_seed(2)
    system.begin_stage("finetune")
    assert not torch.equal(first, system.discriminator.judge.weight)


def test_the_encoder_is_shared_between_the_phases(batch: Any) -> None:
    system = _system()
    z_n, _, _ = system.encode(batch.source)
    z_c, _, _ = system.encode(batch.source.clone())
    assert torch.equal(z_n, z_c)


def test_the_diffusion_stage_leaves_the_autoencoder_frozen(batch: Any) -> None:
    system = _system()
    loss, _ = system.loss("diffusion", "diffusion", batch, Turn(0.0, torch.Generator().manual_seed(0)))
    loss.backward()
    assert all(p.grad is None for p in [*system.encoder.parameters(), *system.decoder.parameters()])
    assert any(p.grad is not None for p in system.denoiser.parameters())
    assert {id(p) for player in system.players("diffusion") for p in player.parameters} == {
        id(p) for p in system.denoiser.parameters()
    }


def test_finetuning_reaches_every_network(batch: Any) -> None:
    system = _system()
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    loss, _ = system.loss("finetune", "finetune", batch, Turn(0.0, torch.Generator().manual_seed(0)))
    loss.backward()
    for network in (system.encoder, system.denoiser, system.decoder):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_untrained_source_conditioned_model_is_the_identity() -> None:
    system = _system().eval()
    change = system.predict_change(torch.rand(1, 1, 8, 32, 32), Condition(phase=torch.tensor([0])))
    assert change.abs().max() == 0


def test_what_a_difference_decoder_draws_of_both_cancels(batch: Any) -> None:
    system = _system(autoencoder={"source_conditioned": False, "difference": True}).eval()
    nothing = system.reconstruct_change(batch.source, batch.source)
    assert nothing.abs().max() < 1e-6
    change = system.reconstruct_change(batch.source, batch.target)
    z_n, z_c = (system.encode(x, normalise=False)[0] for x in (batch.source, batch.target))
    assert torch.allclose(change, system.decoder(z_c) - system.decoder(z_n), atol=1e-5)
    assert change.abs().max() > 1e-3


@pytest.mark.parametrize(
    "autoencoder",
    [{}, {"source_conditioned": False}, {"source_conditioned": False, "difference": True}, {"kind": "vq", "codes": 16}],
)
def test_fine_tuning_trains_the_very_image_that_translation_gives(autoencoder: Any, batch: Any) -> None:
    system = _system(autoencoder=autoencoder, loss={"rec_l2": 1.0}).eval()
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    _, parts = system.loss("finetune", "finetune", batch, Turn(0.0, torch.Generator().manual_seed(0)))
    image = batch.source + system.predict_change(batch.source, batch.condition)
    wanted = voxel_error(image, batch.target, change=batch.change, valid=None, loss=system.config.loss)
    assert parts["rec"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_end_of_stage_one_normalises_the_latents(batch: Any) -> None:
    system = _system().eval()
    system.end_stage("autoencoder", [batch])
    z, _, _ = system.encode(batch.target)
    assert z.mean(dim=(0, 2, 3, 4)).abs().max() < 1e-4
    assert z.std(dim=(0, 2, 3, 4)).tolist() == pytest.approx([1.0] * 3, abs=1e-2)


def test_one_step_is_deterministic_and_more_steps_follow_the_seed() -> None:
    system = _system().eval()
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, phase = torch.rand(1, 1, 8, 32, 32), Condition(phase=torch.tensor([0]))

    def run(steps: Any, seed: Any) -> Any:
        return system.predict_change(x, phase, How(steps=steps, generator=torch.Generator().manual_seed(seed)))

    assert torch.equal(run(1, 0), run(1, 1))
    assert torch.equal(run(2, 5), run(2, 5))
    assert not torch.equal(run(2, 5), run(2, 6))


def test_the_phase_changes_the_answer() -> None:
    system = _system().eval()
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.rand(1, 1, 8, 32, 32)
    assert not torch.equal(
        system.predict_change(x, Condition(phase=torch.tensor([0]))),
        system.predict_change(x, Condition(phase=torch.tensor([1]))),
    )


@pytest.mark.parametrize(
    "config",
    [
        {"diffusion": {"mode": "bridge"}},
        {
            "diffusion": {"mode": "literal", "schedule": "ddpm", "target": "epsilon"},
            "stages": ("autoencoder", "diffusion"),
        },
        {"diffusion": {"target": "x0"}},
        {"autoencoder": {"kind": "vq", "codes": 16, "cosine": True, "source_conditioned": False}},
        {"autoencoder": {"kind": "kl", "source_conditioned": False}, "similarity": {"axis": "window", "on": "post_vq"}},
        {"autoencoder": {"source_conditioned": False}, "syncretic": False, "mask": {"enabled": False}},
        {"autoencoder": {"source_conditioned": False, "difference": True}},
        {"loss": {"decode_source": 1.0}, "frequency": {"mode": "wavelet"}},
        {"frequency": {"mode": "fft"}, "similarity": {"axis": "spatial"}},
    ],
)
def test_every_reading_trains_and_translates(config: Any, batch: Any) -> None:
    system = _system(**config).train()
    for stage in system.stages:
        (player,) = system.players(stage.name)
        loss, _ = system.loss(stage.name, player.name, batch, Turn(0.5, torch.Generator().manual_seed(0)))
        assert torch.isfinite(loss)
        loss.backward()
    change = system.eval().predict_change(
        batch.source, batch.condition, How(steps=2, generator=torch.Generator().manual_seed(0))
    )
    assert change.shape == batch.source.shape
    assert torch.isfinite(change).all()


@pytest.mark.parametrize(
    "config",
    [
        {"syncretic": False},
        {"autoencoder": {"difference": True}},
        {"diffusion": {"target": "epsilon"}},
        {"diffusion": {"mode": "bridge", "target": "x0"}},
        {"colour": 1},
    ],
)
def test_contradictory_configurations_are_refused(config: Any) -> None:
    with pytest.raises(ValidationError):
        build_system("s2ldm", config)
