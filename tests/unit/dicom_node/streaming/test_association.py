"""The places where receiving leans on pynetdicom's inside: they must be there, and be what they were."""

import inspect

import pynetdicom.acse
import pynetdicom.fsm
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

UPPER_LAYER_METHODS = {"_decode_pdu", "_is_transport_event", "_process_recv_primitive", "_read_pdu_data", "run_reactor"}
ASSOCIATION_METHODS = {"_bind_defaults", "_run_reactor", "_serve_request", "kill", "run_reactor"}


def test_the_methods_that_are_replaced_or_called_exist() -> None:
    assert set(vars(DULServiceProvider)) >= UPPER_LAYER_METHODS
    assert set(vars(Association)) >= ASSOCIATION_METHODS
    assert "receive_primitive" in vars(DIMSEServiceProvider)
    assert "_create_association" in vars(RequestHandler)
    assert {"ready", "recv", "send"} <= set(vars(AssociationSocket))
    assert {"shutdown", "server_close"} <= set(vars(AssociationServer))


def test_the_attributes_that_are_used_exist() -> None:
    association = Association(AE(), "acceptor")
    for name in ("_accepted_cx", "_dul_ready", "_is_paused", "_kill", "_server", "_started_dul"):
        assert hasattr(association, name), name
    for name in (
        "_idle_timer",
        "_kill_thread",
        "_recv_pdu",
        "artim_timer",
        "event_queue",
        "to_provider_queue",
        "to_user_queue",
    ):
        assert hasattr(association.dul, name), name


def test_a_p_data_indication_stays_in_state_6() -> None:
    """Receiving takes this transition without going through pynetdicom's queues."""
    action = pynetdicom.fsm.TRANSITION_TABLE["Evt10", "Sta6"]
    assert action == "DT-2"
    assert pynetdicom.fsm.ACTIONS[action][1] is pynetdicom.fsm.DT_2
    source = inspect.getsource(pynetdicom.fsm.DT_2)
    assert "dul.assoc.dimse.receive_primitive" in source
    assert 'return "Sta6"' in source


def test_a_p_data_request_stays_in_state_6() -> None:
    """Answers take this transition without going through pynetdicom's queues."""
    action = pynetdicom.fsm.TRANSITION_TABLE["Evt9", "Sta6"]
    assert action == "DT-1"
    assert pynetdicom.fsm.ACTIONS[action][1] is pynetdicom.fsm.DT_1
    source = inspect.getsource(pynetdicom.fsm.DT_1)
    assert "dul._send(P_DATA_TF(primitive))" in source
    assert 'return "Sta6"' in source


def test_a_rejected_association_is_not_negotiated() -> None:
    source = inspect.getsource(Association.run_reactor)
    assert source.index("EVT_REQUESTED") < source.index("self.is_rejected") < source.index("negotiate_association")
