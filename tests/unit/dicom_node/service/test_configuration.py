"""The running node's configuration follows its file."""

from pathlib import Path

import pytest

from dicom_node.config import Settings, load_settings
from dicom_node.service.configuration import Configuration

TEXT = "node: {{data_dir: {0}, port: {1}}}\nroutes: {{A: {{phase: {2}}}}}\n"


class Told:
    """A node with its configuration in a file, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "node.yaml"
        self.write()
        self.configuration = Configuration(load_settings(self.path, environ={}), self.path)
        self.settings: list[Settings] = []
        self.configuration.on_change(self.settings.append)
        self.configuration.run_once()

    def write(self, *, port: int = 11112, phase: str = "arterial") -> None:
        self.path.write_text(TEXT.format(self.folder / "var", port, phase), encoding="utf-8")


@pytest.fixture
def node(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_edit_by_hand_is_in_force_after_the_next_look(node: Told) -> None:
    node.write(phase="venous")

    assert node.configuration.run_once()
    assert node.configuration.current.routes["A"].phase == "venous"
    assert [one.routes["A"].phase for one in node.settings] == ["venous"]
    assert [version.who for version in node.configuration.book.versions.newest()] == ["by hand", "by hand"]


def test_same_file_tells_nobody_again(node: Told) -> None:
    assert not node.configuration.run_once()
    assert node.settings == []


def test_bad_file_leaves_the_old_in_force_and_says_line_and_problem(node: Told) -> None:
    node.write(phase="venos")

    assert not node.configuration.run_once()
    assert node.configuration.current.routes["A"].phase == "arterial"
    assert "line 2: routes.A.phase" in node.configuration.detail()


def test_good_file_after_a_bad_one_clears_the_problem(node: Told) -> None:
    node.write(phase="venos")
    node.configuration.run_once()
    node.write()
    node.configuration.run_once()

    assert node.configuration.detail() == ""


def test_file_that_was_away_is_read_again_though_it_is_the_same(node: Told) -> None:
    text = node.path.read_text()
    node.path.unlink()
    node.configuration.run_once()
    assert "cannot be read" in node.configuration.detail()
    node.path.write_text(text)
    node.configuration.run_once()

    assert node.configuration.detail() == ""


def test_refused_file_is_read_again_when_asked_though_it_is_the_same(node: Told) -> None:
    node.write(phase="venos")
    node.configuration.run_once()
    node.configuration.problem = None
    node.configuration.run_once()
    assert node.configuration.problem is None

    node.configuration.look_again()
    node.configuration.run_once()

    assert node.configuration.problem is not None


def test_port_waits_for_a_restart_while_the_rest_is_taken_up(node: Told) -> None:
    node.write(port=104, phase="venous")
    node.configuration.run_once()

    assert node.configuration.current.node.port == 11112
    assert node.configuration.current.routes["A"].phase == "venous"
    assert node.configuration.detail() == "a restart is needed for node.port"


def test_route_with_the_name_that_the_node_still_has_is_refused(node: Told) -> None:
    node.path.write_text(
        f"node: {{data_dir: {node.folder / 'var'}, ae_title: NEW}}\nroutes: {{S2LDM: {{phase: venous}}}}\n"
    )
    node.configuration.run_once()

    assert node.configuration.problem.code == "config_needs_restart"
    assert list(node.configuration.current.routes) == ["A"]
