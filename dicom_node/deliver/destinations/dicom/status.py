"""What a peer's answers mean for a delivery: stored, try again, or never (PS3.4 B.2.3, PS3.7 C, PS3.8 9.3.4)."""

from dicom_node.states import Verdict

#: The peer has the object: success and the Storage warnings (PS3.4 B.2.3: 0xB000 coercion, 0xB006 elements discarded,
#: 0xB007 data set does not match SOP class), and duplicate SOP Instance (PS3.7 C.5). The last is what some peers answer
#: when a lost response made us send again: the UIDs of derived instances are the node's own and stand for one content,
#: so what the peer holds under them is the object.
_ACCEPTED = frozenset({0x0000, 0x0111, 0xB000, 0xB006, 0xB007})
#: Failures that say nothing about the object: processing failure, resource limitation (PS3.7 C.5).
_PASSING = frozenset({0x0110, 0x0213})


def verdict(status: int | None) -> Verdict:
    """Judge one C-STORE response status; None stands for no response (timeout, abort, lost connection).

    Out of resources (0xA7xx) may pass. Wrong SOP class (0xA9xx), cannot understand (0xCxxx), not authorised (0x0124)
    and every other refusal will not, until somebody changes something.
    """
    if status in _ACCEPTED:
        return Verdict.ACCEPTED
    if status is None or status in _PASSING or status & 0xFF00 == 0xA700:
        return Verdict.RETRIABLE
    return Verdict.PERMANENT


def status_sentence(status: int) -> str:
    """A C-STORE failure status in words, with the number that the peer's log will show."""
    if status & 0xFF00 == 0xA700:
        text = "is out of resources"
    elif status & 0xFF00 == 0xA900 or status == 0x0122:
        text = "does not take objects of this SOP class"
    elif status & 0xF000 == 0xC000:
        text = "cannot understand the object"
    elif status == 0x0124:
        text = "does not authorise this node to store"
    else:
        text = "refused the object"
    return f"{text} (status 0x{status:04X})"
