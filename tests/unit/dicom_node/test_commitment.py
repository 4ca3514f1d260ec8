"""What requests and reports of storage commitment hold, as written and as whatever comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.commitment import (
    NO_SUCH_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    decoded,
    encoded,
    read_report,
    read_request,
    report_data_set,
    request_data_set,
)

REQUEST = CommitmentRequest(transaction_uid="2.25.1", instances=(("1.2", "1.2.3"), ("1.2", "1.2.4")))
REPORT = CommitmentReport(
    transaction_uid="2.25.1", committed={"1.2.3": "1.2"}, failed={"1.2.4": ("1.2", NO_SUCH_INSTANCE)}
)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_is_written_is_read(syntax: str) -> None:
    def through(dataset: Dataset) -> Dataset:
        return decoded(encoded(dataset, transfer_syntax_uid=syntax), transfer_syntax_uid=syntax)

    assert read_request(through(request_data_set(REQUEST))) == REQUEST
    report = read_report(through(report_data_set(REPORT)))
    assert (report, report.event_type) == (REPORT, 2)
    assert CommitmentReport(transaction_uid="2.25.1", committed={"1.2.3": "1.2"}).event_type == 1


def test_instance_that_is_on_both_lists_has_failed() -> None:
    dataset = report_data_set(REPORT)
    dataset.ReferencedSOPSequence.append(dataset.FailedSOPSequence[0])
    assert read_report(dataset) == REPORT


def test_failure_reason_that_is_no_number_is_not_quoted() -> None:
    dataset = Dataset()
    dataset.TransactionUID = "2.25.1"
    item = Dataset()
    item.add_new("FailureReason", "LO", "SMITH^JOHN")
    dataset.FailedSOPSequence = [item]
    with pytest.raises(ValueError, match=r"^not what storage commitment has$"):
        read_report(dataset)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    cut=st.integers(0, 200),
    changes=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=6),
    syntax=st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
)
@pytest.mark.filterwarnings("ignore")
def test_bytes_that_are_none_are_a_value_error(cut: int, changes: list[tuple[int, int]], syntax: str) -> None:
    value = bytearray(encoded(report_data_set(REPORT), transfer_syntax_uid=syntax))
    for place, byte in changes:
        value[place % len(value)] = byte
    for read in (read_request, read_report):
        try:
            read(decoded(bytes(value[: len(value) - cut]), transfer_syntax_uid=syntax))
        except ValueError as error:
            assert "SOP" not in str(error)  # noqa: PT017 (most examples raise none)
