"""Which presentation contexts are accepted."""

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
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicom_node.streaming.contexts import asks_to_store, supported_contexts

PRIVATE_STORAGE = "1.3.12.2.1107.5.9.1"  # Siemens CSA Non-Image Storage


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
        ModalityWorklistInformationFind,
        "1.2.840.10008.5.1.4.1.2.3.2",  # Patient/Study Only, retired
        "1.2.840.10008.3.1.1.1",
    ],
)
def test_services_that_are_not_offered_are_not_supported(uid: str) -> None:
    proposed: list[PresentationContext] = [build_context(uid)]
    assert supported_contexts(proposed) == []
    assert not asks_to_store(proposed)


def test_storage_commitment_is_taken_from_who_asks_and_from_who_reports() -> None:
    proposed = [build_context(StorageCommitmentPushModel, [JPEG2000Lossless, ImplicitVRLittleEndian])]
    (context,) = supported_contexts(proposed)
    assert context.abstract_syntax == StorageCommitmentPushModel
    assert context.transfer_syntax == [ImplicitVRLittleEndian], "nothing that had to be decompressed"
    assert (context.scu_role, context.scp_role) == (True, True)
    assert not asks_to_store(proposed)


@pytest.mark.parametrize(
    "uid",
    [
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelMove,
        PatientRootQueryRetrieveInformationModelGet,
    ],
)
def test_queries_and_retrievals_are_taken(uid: str) -> None:
    proposed = [build_context(uid, [ImplicitVRLittleEndian])]
    assert [context.transfer_syntax for context in supported_contexts(proposed)] == [[ImplicitVRLittleEndian]]
    assert not asks_to_store(proposed)


def test_a_class_that_the_peer_would_be_sent_is_taken_uncompressed_first_and_asks_for_no_storage() -> None:
    proposed = [build_context(CTImageStorage, [JPEG2000Lossless, ImplicitVRLittleEndian, ExplicitVRLittleEndian])]
    (context,) = supported_contexts(proposed, pulled={CTImageStorage})
    assert context.transfer_syntax == [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless]
    assert (context.scu_role, context.scp_role) == (True, True)
    assert not asks_to_store(proposed, only_pulled={CTImageStorage})
    (context,) = supported_contexts(proposed)
    assert (context.scu_role, context.scp_role) == (None, None)


def test_an_echo_does_not_ask_to_store() -> None:
    assert not asks_to_store([build_context(Verification)])
    assert asks_to_store([build_context(Verification), build_context(CTImageStorage)])
