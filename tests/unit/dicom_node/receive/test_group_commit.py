"""Rows of several associations in one transaction."""

import threading
from pathlib import Path
from typing import Any

import pytest

from dicom_node.catalog import Catalog, NewInstance, Outcome
from dicom_node.receive.group_commit import GroupCommit


def make_instance(folder: Path, number: int, *, digest: str = "a" * 64) -> NewInstance:
    path = folder / f"{number}.dcm"
    path.write_bytes(b"1")
    return NewInstance(
        series_instance_uid="1.2.3",
        study_instance_uid="1.2",
        sop_instance_uid=f"1.2.3.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2",
        path=path,
        digest=digest,
        size=1,
        route="CECT_ART",
        calling_ae="SCANNER",
        peer="127.0.0.1",
    )


class CountingCatalog(Catalog):
    """Counts transactions, holds the first until told, and fails for one instance."""

    def __init__(self, location: Path) -> None:
        super().__init__(location)
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.proceed = threading.Event()
        self.poison: str | None = None

    def add_instances(self, batch: Any, **more: Any) -> Any:
        self.batches.append(len(batch))
        self.entered.set()
        assert self.proceed.wait(10)
        if any(instance.sop_instance_uid == self.poison for instance in batch):
            raise OSError("poisoned")
        return super().add_instances(batch, **more)


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    with CountingCatalog(tmp_path / "catalog.sqlite") as catalog:
        yield catalog


def commit_together(catalog: CountingCatalog, folder: Path, count: int) -> list[Outcome | OSError]:
    """Commit one instance, and `count` - 1 more that arrive while the first is being committed."""
    commits = GroupCommit(catalog)
    results: list[Outcome | OSError | None] = [None] * count

    def run(number: int) -> None:
        try:
            results[number] = commits.commit(make_instance(folder, number))
        except OSError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    threads[0].start()
    assert catalog.entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(commits._waiting) < count - 1:
        threading.Event().wait(0.001)
    catalog.proceed.set()
    for thread in threads:
        thread.join(10)
    assert None not in results
    return results  # type: ignore[return-value]


def test_what_arrives_during_a_commit_shares_the_next(catalog: CountingCatalog, tmp_path: Path) -> None:
    assert commit_together(catalog, tmp_path, 9) == [Outcome.NEW] * 9
    assert catalog.batches == [1, 8]
    assert catalog.list_series()[0].instance_count == 9


def test_one_bad_instance_fails_alone(catalog: CountingCatalog, tmp_path: Path) -> None:
    catalog.poison = "1.2.3.2"
    results = commit_together(catalog, tmp_path, 4)
    assert isinstance(results[2], OSError)
    assert [result for number, result in enumerate(results) if number != 2] == [Outcome.NEW] * 3
    assert catalog.list_series()[0].instance_count == 3


def test_outcomes_are_the_catalogs(catalog: CountingCatalog, tmp_path: Path) -> None:
    catalog.proceed.set()
    commits = GroupCommit(catalog)
    assert commits.commit(make_instance(tmp_path, 1)) is Outcome.NEW
    assert commits.commit(make_instance(tmp_path, 1)) is Outcome.SAME
    assert commits.commit(make_instance(tmp_path, 1, digest="b" * 64)) is Outcome.CONFLICT
