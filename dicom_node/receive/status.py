"""C-STORE response statuses that the node answers (PS3.4 table B.2-1, PS3.7 annex C)."""

from pydicom.dataset import Dataset

SUCCESS = 0x0000
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007
CANNOT_UNDERSTAND = 0xC000


def with_comment(status: int, comment: str) -> Dataset:
    """A response with Error Comment (0000,0902), a text of at most 64 characters (VR LO)."""
    response = Dataset()
    response.Status = status
    response.ErrorComment = comment[:64]
    return response
