"""YAML documents: each mistake says its line, its key and the nearest known one."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, RootModel

from s2ldm_core.documents import Document, parse_document, read_document, validate
from s2ldm_core.errors import DocumentError


class Peer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ae_title: str
    port: int = 104


class Node(BaseModel):
    model_config = ConfigDict(extra="forbid")

    peers: tuple[Peer, ...] = ()
    main: Peer | None = None


class Peers(RootModel[tuple[Peer, ...]]):
    """A document that is a list."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peers:\n- ae_title: PACS\n  prot: 1\n", "line 3: unknown key peers.0.prot (did you mean 'port'?)"),
        ("\nmain:\n  aetitle: X\n", "line 3: unknown key main.aetitle (did you mean 'ae_title'?)"),
        ("peers:\n- port: 1\n", "line 2: peers.0.ae_title: Field required"),
        ("main: {ae_title: A,\n  port: many}\n", "line 2: main.port: Input should be a valid integer"),
        ("first: &peer {ae_title: A, prot: 1}\nmain: *peer\n", "line 2: unknown key main.prot"),
    ],
)
def test_mistake_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DocumentError) as raised:
        validate(Node, parse_document(text), name="node.yaml")

    assert said in raised.value.sentence


def test_list_of_models_knows_its_keys() -> None:
    with pytest.raises(DocumentError, match=r"line 2: unknown key 1\.prot \(did you mean 'port'"):
        validate(Peers, parse_document("- {ae_title: A}\n- {ae_title: B, prot: 1}\n"), name="peers.yaml")


def test_values_at_hand_have_no_line() -> None:
    with pytest.raises(DocumentError, match=r"values: unknown key mian"):
        validate(Node, Document(values={"mian": None}), name="values")


def test_key_that_stands_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(DocumentError, match="the key main stands twice, in lines 1 and 3"):
        parse_document("main: null\npeers: []\nmain: null\n")


def test_document_that_holds_itself_is_read() -> None:
    assert parse_document("&a [*a]").places == {("0",): "line 1"}


def test_bytes_that_are_no_text_are_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_bytes(b"\xff\xfe\xfd")

    with pytest.raises(DocumentError, match="document_unreadable"):
        read_document(tmp_path / "node.yaml")
