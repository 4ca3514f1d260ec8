"""Faults put into the formulae of S2LDM, one at a time: each must fail a test of `tests/unit`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import s2ldm_core

_CORE = Path(s2ldm_core.__file__).parent
_ROOT = Path(__file__).parents[2]
_FORMULAE = "tests/unit/s2ldm_core/systems/test_formulae.py"


class Mutant(NamedTuple):
    """``old`` stands once in ``file`` of the core and becomes ``new``; ``tests`` must notice."""

    file: str
    old: str
    new: str
    tests: str = _FORMULAE


MUTANTS = {
    "s_never_applied": Mutant("systems/s2ldm.py", "z_n = z_n * mask.to(z_n.dtype)", "z_n = z_n * 1"),
    "s_of_the_normalised_latents": Mutant(
        "systems/s2ldm.py", "self.denormalise(z_n), self.denormalise(z_c)", "z_n, z_c"
    ),
    "stage_two_predicts_the_source": Mutant(
        "systems/s2ldm.py", "self.process.endpoints(z_n=z_n, z_c=z_c,", "self.process.endpoints(z_n=z_n, z_c=z_n,"
    ),
    "sign_of_the_residual": Mutant(
        "systems/s2ldm_networks.py",
        "return out - (z_n if",
        "return out + (z_n if",
    ),
    "sign_of_the_x0_residual": Mutant("systems/s2ldm_networks.py", "return z_n + out", "return z_n - out"),
    "adversary_paid_for_the_wrong_one": Mutant(
        "systems/s2ldm.py", "hinge(real=real, fake=fake)", "hinge(real=fake, fake=real)"
    ),
    "model_paid_for_being_found_out": Mutant("networks/discriminator.py", "return -fake.mean()", "return fake.mean()"),
    "source_and_noise_change_places": Mutant("diffusion.py", "return a * x_0 + b * x_1", "return b * x_0 + a * x_1"),
    "velocity_backwards": Mutant("diffusion.py", "            return x_1 - x_0", "            return x_0 - x_1"),
    "deterministic_start_is_noise": Mutant(
        "systems/s2ldm.py", "noise = torch.where(plain[:, None, None, None, None], 0.0, noise)", "noise = noise * 1"
    ),
    "l_sim_left_out": Mutant("systems/s2ldm.py", "loss = loss + weight.sim * (", "loss = loss + 0 * ("),
    "latents_shifted_twice": Mutant(
        "systems/latent_system.py",
        "(z - _per_channel(self.latent_mean)) / _per_channel(self.latent_std)",
        "(z + _per_channel(self.latent_mean)) / _per_channel(self.latent_std)",
    ),
    "false_change_of_what_enhances": Mutant(
        "organ_bias.py",
        "known & (true.abs() <= most)",
        "known & (true.abs() > most)",
        "tests/unit/s2ldm_core/systems/test_s2ldm.py",
    ),
    "what_was_not_measured_counts": Mutant(
        "systems/change_loss.py",
        "(penalty if valid is None else torch.where(valid, penalty, 0.0)).mean()",
        "penalty.mean()",
        "tests/unit/s2ldm_core/systems/test_change_loss.py",
    ),
    "features_of_the_source": Mutant(
        "systems/s2ldm.py",
        "self.tissues.distance(image, batch.target,",
        "self.tissues.distance(image, batch.source,",
        "tests/unit/s2ldm_core/networks/test_tissue_network.py",
    ),
}


class Tried(NamedTuple):
    """What became of the tests."""

    code: int
    said: str


Try = Callable[[Path, str], Tried]


@pytest.fixture(scope="module")
def tried() -> Iterator[Try]:
    """Runs tests on the core that lies in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""}
    environment.pop("PYTEST_XDIST_WORKER", None)
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warm.py"))],
        cwd=_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as warm:
        assert warm.stdin is not None
        assert warm.stdout is not None
        to, back = warm.stdin, warm.stdout

        def run(folder: Path, tests: str) -> Tried:
            log = folder / "log"
            to.write(f"{folder}\t{_ROOT}\t{tests}\t{log}\n")
            to.flush()
            return Tried(code=int(back.readline()), said=log.read_text(encoding="utf-8")[-2000:])

        yield run
        to.close()


def _copy(folder: Path) -> Path:
    shutil.copytree(_CORE, folder / "s2ldm_core", ignore=shutil.ignore_patterns("packages", "__pycache__"))
    return folder


def test_the_tests_pass_on_the_untouched_copy(tmp_path: Path, tried: Try) -> None:
    """Else a mutant that fails would be no evidence."""
    folder = _copy(tmp_path)
    for tests in sorted({mutant.tests for mutant in MUTANTS.values()}):
        (folder / "log").unlink(missing_ok=True)
        done = tried(folder, tests)
        assert done.code == 0, done.said


@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_of_the_formulae_survives(name: str, tmp_path: Path, tried: Try) -> None:
    mutant = MUTANTS[name]
    source = _copy(tmp_path) / "s2ldm_core" / mutant.file
    text = source.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} no longer says {mutant.old!r} once: write the mutant anew"
    source.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    done = tried(tmp_path, mutant.tests)
    assert done.code == 1, done.said  # 1: tests failed; others: it did not even run
    assert " failed" in done.said
