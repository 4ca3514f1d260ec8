"""The Helm chart, rendered once for each set of values."""

from pathlib import Path

import pytest

from tests.helm import Render, Rendered, with_insight
from tests.helm_values import VALUES


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, with what helm does not show as one more manifest."""
    return with_insight(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def render(chart: Path) -> Render:
    """``render(name)``: what becomes of the values of `VALUES` with that name."""
    made: dict[str, Rendered] = {}

    def rendered(name: str) -> Rendered:
        if name not in made:
            made[name] = Rendered.of(VALUES[name], chart=chart)
        return made[name]

    return rendered
