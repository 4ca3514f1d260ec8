"""Users, sessions, tokens and passwords, without HTTP."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters

from dicom_node.catalog import Catalog
from dicom_node.errors import NodeError
from dicom_node.people import passwords
from dicom_node.people.accounts import IDLE_TIME, SESSION_TIME, Accounts
from dicom_node.people.oidc_person import Person
from dicom_node.people.passwords import Passwords
from dicom_node.people.roles import Role
from dicom_node.people.throttle import Throttle, neighbourhood
from tests.catalog_jobs import Clock

PASSWORD = "four unrelated words"  # noqa: S105
HASH = Passwords().hash(PASSWORD)
MINUTE = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite", clock=clock) as catalog:
        for name, role in (("anna", Role.ADMINISTRATOR), ("otto", Role.OPERATOR)):
            catalog.add_user(name=name, role=role, password_hash=HASH)
        yield catalog


@pytest.fixture
def accounts(catalog: Catalog) -> Accounts:
    return Accounts(catalog)


def code(raised: pytest.ExceptionInfo[NodeError]) -> str:
    return raised.value.code


def kept(catalog: Catalog, location: Path) -> bytes:
    with catalog.write():
        pass
    return b"".join(path.read_bytes() for path in location.parent.glob("catalog.sqlite*"))


def test_password_is_kept_as_argon2id_that_costs_what_nobodys_costs() -> None:
    known = extract_parameters(HASH)

    assert HASH.startswith("$argon2id$")
    assert (known.memory_cost, known.time_cost) == (65_536, 3)
    assert extract_parameters(passwords._NOBODYS) == known


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_wrong_password_takes_one_comparison_whether_there_is_the_user_or_not(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    compared = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, kept: str, password: str) -> bool:
        compared.append(kept)
        return verify(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)

    with pytest.raises(NodeError) as raised:
        accounts.log_in(name, "not the password", address="10.0.0.1")

    assert code(raised) == "login_failed"
    assert [extract_parameters(one) for one in compared] == [extract_parameters(HASH)]


@pytest.mark.parametrize(
    ("password", "said"), [("eleven char", "password_too_short"), ("x" * 1025, "password_too_long")]
)
def test_password_has_a_length(accounts: Accounts, password: str, said: str) -> None:
    with pytest.raises(NodeError) as raised:
        accounts.add("eva", password, who="anna")
    assert code(raised) == said


def test_first_user_is_an_administrator_and_others_see_only(tmp_path: Path) -> None:
    with Catalog(tmp_path / "new.sqlite") as catalog:
        with pytest.raises(NodeError) as raised:
            catalog.add_user(name="eva", role=Role.VIEWER, password_hash=HASH)
        assert code(raised) == "first_user"
        roles = [catalog.add_user(name=name, role=None, password_hash=HASH).role for name in ("anna", "eva")]
    assert roles == [Role.ADMINISTRATOR, Role.VIEWER]


def test_last_administrator_stays(accounts: Accounts) -> None:
    for leave in (lambda: accounts.remove("anna", who="x"), lambda: accounts.change("anna", role=Role.VIEWER, who="x")):
        with pytest.raises(NodeError) as raised:
            leave()
        assert code(raised) == "last_administrator"


@pytest.mark.parametrize("name", ["", "two words", "../etc", "a" * 65, "änne", "a\n"])
def test_name_that_is_none_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(NodeError) as raised:
        accounts.create_token(name, role=Role.VIEWER, who="anna")
    assert code(raised) == "user_name"


def test_session_ends_when_nobody_is_there_and_after_its_time(accounts: Accounts, clock: Clock) -> None:
    key, _ = accounts.log_in("Otto", PASSWORD, address="10.0.0.1")
    idle, whole = IDLE_TIME.total_seconds(), SESSION_TIME.total_seconds()
    for _ in range(int(whole / (idle - MINUTE)) - 1):
        clock.advance(idle - MINUTE)
        assert accounts.of_session(key) is not None
    clock.advance(idle - MINUTE)
    assert accounts.of_session(key, active=False) is not None
    clock.advance(2 * MINUTE)
    assert accounts.of_session(key) is None, "a page that renews itself is nobody"

    key, _ = accounts.log_in("otto", PASSWORD, address="10.0.0.1")
    for _ in range(int(whole / idle) * 2):
        clock.advance(idle / 2)
        last = accounts.of_session(key)
    assert last is None, "however busy somebody is"


def test_sessions_end_with_another_role_or_password_and_with_the_user(accounts: Accounts, catalog: Catalog) -> None:
    changes = (
        lambda: catalog.change_user("otto", role=Role.VIEWER),
        lambda: catalog.change_user("otto", password_hash=HASH),
        lambda: catalog.remove_user("otto"),
    )
    for change in changes:
        key, _ = accounts.log_in("otto", PASSWORD, address="10.0.0.1")
        assert accounts.of_session(key) is not None
        change()
        assert accounts.of_session(key) is None


def test_log_in_with_a_provider_ends_earlier_so_that_the_provider_is_asked_anew(catalog: Catalog, clock: Clock) -> None:
    accounts = Accounts(catalog, issuer="https://login.example", provided_time=timedelta(hours=1))
    person = Person(name="sso.vera", subject="https://login.example 1", role=Role.VIEWER)
    provided, _ = accounts.log_in_from_provider(person, address="10.0.0.1")
    own, _ = accounts.log_in("otto", PASSWORD, address="10.0.0.1")
    for _ in range(3):
        clock.advance(19 * MINUTE)
        assert accounts.of_session(provided) is not None
    clock.advance(4 * MINUTE)

    assert accounts.of_session(provided) is None
    assert accounts.of_session(own) is None, "nobody was there"
    again, _ = accounts.log_in("otto", PASSWORD, address="10.0.0.1")
    clock.advance(29 * MINUTE)
    assert accounts.of_session(again) is not None


def test_tokens_of_whoever_loses_a_role_at_the_provider_end_with_it(catalog: Catalog) -> None:
    accounts = Accounts(catalog, issuer="https://login.example")

    def come(role: Role | None) -> None:
        person = Person(name="sso.vera", subject="https://login.example 1", role=role)
        with suppress(NodeError):
            accounts.log_in_from_provider(person, address="10.0.0.1")

    come(Role.ADMINISTRATOR)
    for name, role, who in (
        ("robot", Role.ADMINISTRATOR, "sso.vera"),
        ("board", Role.VIEWER, "sso.vera"),
        ("ours", Role.ADMINISTRATOR, "anna"),
    ):
        accounts.create_token(name, role=role, who=who)
    come(Role.OPERATOR)
    assert [one.name for one in accounts.tokens()] == ["board", "ours"]
    come(None)
    assert [one.name for one in accounts.tokens()] == ["ours"]


def test_neither_key_nor_token_nor_password_stands_in_the_catalog(
    accounts: Accounts, catalog: Catalog, tmp_path: Path
) -> None:
    key, _ = accounts.log_in("otto", PASSWORD, address="10.0.0.1")
    token, _ = accounts.create_token("board", role=Role.VIEWER, who="anna")

    held = kept(catalog, tmp_path / "catalog.sqlite")

    assert b"board" in held
    for secret in (key, token, PASSWORD):
        assert secret.encode() not in held


def test_token_has_its_role_until_it_runs_out_or_is_revoked(accounts: Accounts, clock: Clock) -> None:
    token, _ = accounts.create_token("board", role=Role.OPERATOR, days=1, who="anna")
    for_ever, _ = accounts.create_token("other", role=Role.VIEWER, who="anna")
    found = accounts.of_token(token)
    assert (found.who, found.role) == ("token board", Role.OPERATOR)
    assert accounts.tokens()[0].last_used_at == clock()

    clock.advance(timedelta(days=1).total_seconds())
    accounts.of_token(for_ever)
    accounts.revoke_token("other", who="anna")
    for ended in (token, for_ever, "s2ldm_guessed"):
        with pytest.raises(NodeError) as raised:
            accounts.of_token(ended)
        assert code(raised) == "token_refused"


def test_attempts_are_counted_by_name_and_address_and_forgotten_in_time() -> None:
    clock = Clock()
    throttle = Throttle(most=2, seconds=300.0, clock=clock.monotonic)

    assert [throttle.enter("anna 10.0.0.1") for _ in range(3)] == [True, True, False]
    assert throttle.enter("anna 10.0.0.2")
    clock.advance(300.0)
    assert throttle.enter("anna 10.0.0.1")
    for number in range(20_000):
        throttle.enter(str(number))
    assert len(throttle._times) <= 10_000


def test_addresses_of_one_machine_count_as_one() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1:2")
    assert neighbourhood("2001:db8:0:1::1") != neighbourhood("2001:db8::1")
    assert neighbourhood("::ffff:10.0.0.1") == "10.0.0.1"
