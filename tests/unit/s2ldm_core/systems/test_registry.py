"""Systems by name: an unknown one is answered with the nearest, other packages may add but not replace, imports stay light."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from s2ldm_core.errors import PackageError
from s2ldm_core.systems import registry
from s2ldm_core.systems.registry import GROUP, build_system, system_class, system_names


def _install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint(name, value, GROUP)])


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(PackageError, match="did you mean s2ldm") as caught:
        build_system("s2lmd", {})
    assert caught.value.code == "unknown_system"
    assert ", ".join(system_names()) in caught.value.remedy


def test_another_package_adds_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "tiny_gan", "tests.tiny_gan:TinyGan")
    assert system_names() == tuple(sorted({"tiny_gan", *registry._HOMES}))
    assert build_system("tiny_gan", {"channels": 2}).config.channels == 2


def test_another_package_cannot_take_the_place_of_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "unet", "tests.tiny_gan:TinyGan")
    assert system_class("unet").__name__ == "ResidualUNet"


@pytest.mark.parametrize(
    "value", ["tests.nowhere:Gan", "tests.tiny_gan:Nothing", "tests.tiny_gan:nn", "tests.tiny_gan:TinyGan"]
)
def test_what_is_no_system_of_that_name_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    _install(monkeypatch, "other", value)
    with pytest.raises(PackageError) as caught:
        system_class("other")
    assert caught.value.code == "system_unusable"


def test_systems_are_imported_without_file_formats_monai_and_training() -> None:
    script = (
        "import sys\n"
        "for name in ('SimpleITK', 'pydicom', 'monai', 'accelerate', 'train'): sys.modules[name] = None\n"
        "from s2ldm_core.systems import system_class, system_names\n"
        "for name in system_names(): system_class(name)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
