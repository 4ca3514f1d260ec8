"""Where a store's cases come from and under which licence, as its owner says beside them."""

from pathlib import Path

import numpy as np
import pytest

from train.errors import TrainError
from train.fit.provenance import describe_data
from train.store import PairStore, write_case


def _case(folder: Path, name: str, **about: str) -> None:
    native = np.zeros((4, 8, 8))
    write_case(folder, name, spacing_mm=(3, 1.5, 1.5), native=native, changes={"venous": native}, about=about)


def test_a_store_names_the_source_and_licence_of_cases_that_do_not(tmp_path: Path) -> None:
    _case(tmp_path, "a", made_by="prepare")
    _case(tmp_path, "b", source="ours", licence="none")
    assert describe_data(PairStore(tmp_path))["source"] == "ours; unnamed pairs"
    (tmp_path / "source.yaml").write_text("source: TCIA HCC-TACE-Seg\nlicence: CC BY 4.0\n")
    assert describe_data(PairStore(tmp_path))["sources"] == [
        {"source": "TCIA HCC-TACE-Seg", "licence": "CC BY 4.0", "cases": 1},
        {"source": "ours", "licence": "none", "cases": 1},
    ]


@pytest.mark.parametrize("text", ["licence: [", "license: CC BY 4.0", "- CC BY 4.0"])
def test_a_source_that_cannot_be_understood_is_refused(tmp_path: Path, text: str) -> None:
    _case(tmp_path, "a")
    (tmp_path / "source.yaml").write_text(text)
    with pytest.raises(TrainError) as caught:
        describe_data(PairStore(tmp_path))
    assert caught.value.code == "source_invalid"


def test_a_case_that_is_linked_twice_to_be_drawn_more_often_counts_once(tmp_path: Path) -> None:
    _case(tmp_path, "a")
    _case(tmp_path, "b")
    (tmp_path / "c").symlink_to(tmp_path / "a", target_is_directory=True)
    store = PairStore(tmp_path)
    assert len(store) == 3
    described = describe_data(store)
    assert (described["cases"], [one["cases"] for one in described["sources"]]) == (2, [2])


def test_a_case_of_several_stores_counts_once(tmp_path: Path) -> None:
    _case(tmp_path / "one", "a", source="ours")
    _case(tmp_path / "two", "b", source="theirs")
    (tmp_path / "two" / "c").symlink_to(tmp_path / "one" / "a", target_is_directory=True)
    described = describe_data(PairStore(tmp_path / "one"), PairStore(tmp_path / "two"))
    assert (described["source"], described["cases"]) == ("ours; theirs", 2)
