"""Several nodes on one database: what one does while another is in the middle of something."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from dicom_node.catalog import Catalog, JobState, Outcome
from dicom_node.catalog.backup import back_up
from dicom_node.catalog.database_clock import DatabaseClock
from dicom_node.catalog.reaching import reach
from dicom_node.catalog.schema import jobs, series
from dicom_node.errors import CatalogAwayError, CatalogError
from tests import postgres
from tests.catalog_jobs import Clock, complete, instance
from tests.peers import free_port, wait_until

pytestmark = pytest.mark.parametrize("location", ["postgresql"], indirect=True)


@pytest.fixture
def other(location: str, clock: Clock) -> Iterator[Catalog]:
    with Catalog(location, clock=clock) as catalog:
        yield catalog


def _waits_for_lock(catalog: Catalog) -> bool:
    with catalog.read() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(connection.exec_driver_sql(waiting).scalar())


def test_same_series_begun_on_two_nodes_at_once_is_one(catalog: Catalog, other: Catalog, clock: Clock) -> None:
    found: list[Outcome] = []
    with catalog.write(alone=False) as connection:
        begun = instance(1)
        connection.execute(
            insert(series).values(
                series_instance_uid=begun.series_instance_uid,
                study_instance_uid=begun.study_instance_uid,
                route=begun.route,
                state="receiving",
                first_received_at=clock(),
                last_received_at=clock(),
                calling_ae="PACS",
                peer="10.0.0.1",
            )
        )
        thread = threading.Thread(target=lambda: found.append(other.add_instance(instance(2))))
        thread.start()
        wait_until(lambda: _waits_for_lock(catalog), seconds=10, what="the other node to wait")
    thread.join(10)

    assert found == [Outcome.NEW]
    assert [one.instance_count for one in catalog.list_series()] == [1]


def test_same_instance_on_two_nodes_at_once_is_held_once(catalog: Catalog, other: Catalog) -> None:
    with ThreadPoolExecutor() as pool:
        batch = [instance(number) for number in range(200)]
        first, second = pool.map(lambda one: one.add_instances(batch), (catalog, other))

    assert sorted(zip(first, second, strict=True)) in (
        [(Outcome.NEW, Outcome.SAME)] * 200,
        [(Outcome.SAME, Outcome.NEW)] * 200,
    )
    assert [one.instance_count for one in catalog.list_series()] == [200]


def test_job_that_another_node_is_claiming_is_passed_over(catalog: Catalog, other: Catalog, clock: Clock) -> None:
    for number in (1, 2):
        catalog.add_instance(instance(1, series=f"1.2.{number}"))
        assert complete(catalog, clock) is not None
    with catalog.write(alone=False) as connection:
        connection.execute(select(jobs.c.id).where(jobs.c.id == 1).with_for_update())

        claim = other.claim_job(JobState.SELECTING, JobState.SELECTING, "other")

    assert claim is not None
    assert claim.id == 2


def test_writers_that_must_be_alone_wait_for_the_others(catalog: Catalog, other: Catalog) -> None:
    taken: list[int] = []
    with catalog.write(alone=False), other.write(alone=False):  # these two do not wait for each other
        thread = threading.Thread(target=lambda: taken.append(other.take_series_up()))
        thread.start()
        wait_until(lambda: _waits_for_lock(catalog), seconds=10, what="the third to wait")
        assert taken == []
    thread.join(10)

    assert taken == [0]


def test_one_node_leads_until_its_connection_ends(catalog: Catalog, other: Catalog) -> None:
    first, second = catalog.lead(), other.lead()
    assert [first.leads(), second.leads(), first.leads()] == [True, False, True]
    with catalog.read() as connection:
        held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"  # noqa: E501
        connection.exec_driver_sql(held)

    wait_until(second.leads, seconds=10, what="the other to lead")

    assert not first.leads()
    second.close()
    assert first.leads()
    first.close()


def test_tables_are_made_by_one_of_many(postgres_database: postgres.Database, location: str) -> None:
    url = postgres_database.another()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: Catalog(url), range(4)))
    for one in made:
        one.close()

    with Catalog(url) as catalog, catalog.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 1


def test_time_is_the_databases(location: str) -> None:
    with Catalog(location) as catalog, catalog.read() as connection:
        server = connection.exec_driver_sql("SELECT clock_timestamp() AT TIME ZONE 'UTC'").scalar()
        assert abs(catalog.now() - server.replace(tzinfo=UTC)) < timedelta(seconds=1)


def test_clock_follows_the_database_and_not_this_machine(location: str) -> None:
    clock = Clock()
    elsewhere = datetime(2031, 5, 1, tzinfo=UTC)
    now = DatabaseClock(clock.monotonic)
    asked = []

    def ask(moment: datetime = elsewhere) -> datetime:
        asked.append(moment)
        return moment

    now.look(ask)
    clock.advance(5)
    now.look(ask)  # a moment ago
    assert now() == elsewhere + timedelta(seconds=5)
    clock.advance(6)
    now.look(lambda: ask(elsewhere + timedelta(hours=1)))

    assert now() == elsewhere + timedelta(hours=1)
    assert len(asked) == 2


def test_text_that_the_database_would_not_take_is_kept_readable(catalog: Catalog) -> None:
    catalog.open_association("a-1", called_ae="CECT_ART", calling_ae="PA\0CS\udcff", peer="10.0.0.1")

    assert [one.calling_ae for one in catalog.open_associations()] == ["PA\ufffdCS?"]


def test_database_that_is_away_is_an_error_without_the_password(location: str) -> None:
    asked: list[Callable[[Catalog], object]] = [
        lambda one: one.list_jobs(),
        lambda one: one.take_series_up(),
        lambda one: one.add_instance(instance(1)),
    ]
    with postgres.server(**postgres.QUICK) as server, Catalog(server.url(password="Pa55-word")) as catalog:  # noqa: S106
        server.stop()
        for ask in asked:
            with pytest.raises(CatalogAwayError) as raised:
                ask(catalog)
            assert "Pa55-word" not in str(raised.value)
        server.start()
        for ask in asked:  # by new connections
            ask(catalog)


def test_database_that_cannot_be_reached_says_where_but_not_the_password(location: str) -> None:
    with pytest.raises(CatalogAwayError, match=r"u:\*\*\*@127\.0\.0\.1") as raised:
        Catalog(f"postgresql+psycopg://u:Pa55-word@127.0.0.1:{free_port()}/s2ldm")
    assert "Pa55-word" not in f"{raised.value} {raised.value.problem} {raised.value.__cause__}"


def test_check_says_what_answers_and_what_does_not(location: str) -> None:
    assert "postgresql 1" in reach(location)
    with pytest.raises(CatalogAwayError) as raised:
        reach(f"postgresql+psycopg://u:Pa55-word@127.0.0.1:{free_port()}/s2ldm")
    assert "Pa55-word" not in str(raised.value)


def test_url_that_cannot_be_read_is_not_quoted(location: str) -> None:
    with pytest.raises(CatalogError) as raised:
        Catalog("postgresql+psycopg://u:Pa55-word@host:port/s2ldm")
    assert raised.value.code == "catalog_location"
    assert "Pa55-word" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_what_a_row_holds_is_in_no_error(catalog: Catalog) -> None:
    catalog.open_association("a-1", called_ae="CECT_ART", calling_ae="PACS", peer="10.0.0.1")
    with pytest.raises(CatalogError) as raised, catalog.write_bare() as cursor:
        cursor.execute(
            "INSERT INTO associations (id, called_ae, calling_ae, peer, opened_at) VALUES ('a-1', '', '', '', now())"
        )
    assert "duplicate key" in str(raised.value)
    assert "a-1" not in str(raised.value)


def test_path_of_a_file_is_known_for_what_is_held(catalog: Catalog) -> None:
    catalog.add_instance(instance(1))

    assert catalog.is_held_file(instance(1))
    assert not catalog.is_held_file(instance(1, path=Path("/spool/other.dcm")))


def test_backup_names_the_databases_own_programs(location: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="not an SQLite file") as raised:
        back_up(location, tmp_path / "backup")
    assert raised.value.code == "backup_elsewhere"
    assert "pg_dump" in raised.value.remedy
