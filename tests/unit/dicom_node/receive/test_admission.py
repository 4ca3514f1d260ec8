"""Who may open an association, and for what."""

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from dicom_node.config import Peer
from dicom_node.receive.admission import (
    REJECT_CALLED,
    REJECT_CALLING,
    Admission,
    Gatekeeper,
    Rejection,
    asks_to_store,
    supported_contexts,
)

PRIVATE_STORAGE = "1.3.12.2.1107.5.9.1"  # Siemens CSA Non-Image Storage


def decide(*, called: str = "CECT_ART", calling: str = "SCANNER", peer: str = "10.0.0.7", peers: tuple[Peer, ...] = ()):
    gate = Gatekeeper(own_ae="S2LDM", routes=["CECT_ART", "CECT_VEN"], peers=peers)
    return gate.decide(called_ae=called, calling_ae=calling, peer=peer)


def test_a_route_is_let_in() -> None:
    decision = decide()
    assert isinstance(decision, Admission)
    assert decision.route == "CECT_ART"


def test_the_nodes_own_title_is_let_in_without_a_route() -> None:
    decision = decide(called="S2LDM")
    assert isinstance(decision, Admission)
    assert decision.route is None


def test_an_unknown_title_is_turned_away_with_the_nearest_route() -> None:
    decision = decide(called="CECT_ARTT")
    assert isinstance(decision, Rejection)
    assert decision.answer == REJECT_CALLED
    assert decision.reason.code == "called_ae_unknown"
    assert "'CECT_ART'" in decision.reason.sentence


def test_a_title_is_matched_with_its_case() -> None:
    assert isinstance(decide(called="cect_art"), Rejection)


@pytest.mark.parametrize(
    ("known", "admitted"),
    [
        (Peer(ae_title="SCANNER", host="10.0.0.7"), True),
        (Peer(ae_title="SCANNER", host=None), True),
        (Peer(ae_title="SCANNER", host="10.0.0.8"), False),
        (Peer(ae_title="OTHER", host="10.0.0.7"), False),
        (Peer(ae_title="SCANNER", host="no-such-host.invalid"), False),
    ],
)
def test_the_allow_list_asks_for_title_and_host(known: Peer, admitted: bool) -> None:
    decision = decide(peers=(known,))
    if admitted:
        assert isinstance(decision, Admission)
    else:
        assert isinstance(decision, Rejection)
        assert decision.answer == REJECT_CALLING


def test_an_ipv4_peer_on_an_ipv6_socket_is_recognised() -> None:
    assert isinstance(decide(peer="::ffff:10.0.0.7", peers=(Peer(ae_title="SCANNER", host="10.0.0.7"),)), Admission)


def test_every_transfer_syntax_of_a_storage_class_is_supported_in_the_peers_order() -> None:
    proposed = [
        build_context(CTImageStorage, [JPEGLSLossless, JPEG2000Lossless]),
        build_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
    ]
    (context,) = supported_contexts(proposed)
    assert context.abstract_syntax == CTImageStorage
    assert context.transfer_syntax == [
        JPEGLSLossless,
        JPEG2000Lossless,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    ]


@pytest.mark.parametrize("uid", [PRIVATE_STORAGE, "1.2.840.10008.5.1.4.1.1.77.1", Verification])
def test_private_retired_and_verification_classes_are_supported(uid: str) -> None:
    assert [context.abstract_syntax for context in supported_contexts([build_context(uid)])] == [uid]


@pytest.mark.parametrize(
    "uid",
    [
        StudyRootQueryRetrieveInformationModelFind,
        ModalityWorklistInformationFind,
        StorageCommitmentPushModel,
        "1.2.840.10008.5.1.4.1.2.1.2",
        "1.2.840.10008.3.1.1.1",
    ],
)
def test_services_that_are_not_offered_are_not_supported(uid: str) -> None:
    proposed: list[PresentationContext] = [build_context(uid)]
    assert supported_contexts(proposed) == []
    assert not asks_to_store(proposed)


def test_an_echo_does_not_ask_to_store() -> None:
    assert not asks_to_store([build_context(Verification)])
    assert asks_to_store([build_context(Verification), build_context(CTImageStorage)])
