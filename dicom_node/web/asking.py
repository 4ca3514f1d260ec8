"""Who asks, for what handles a request."""

from typing import Annotated

from fastapi import Depends, Request

from dicom_node.people.identity import STRANGER, Identity


def identity_of(request: Request) -> Identity:
    """Who asks, as `dicom_node.web.keeper` found."""
    known: Identity = getattr(request.state, "identity", STRANGER)
    return known


def who_asks(request: Request) -> str:
    """Who asks, as the history and the jobs name them."""
    return identity_of(request).who


Who = Annotated[str, Depends(who_asks)]
Asking = Annotated[Identity, Depends(identity_of)]
