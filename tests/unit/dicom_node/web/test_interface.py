"""The interface keeps to what ``/openapi.json`` says of it, whatever it is asked (schemathesis makes the requests)."""

from collections import Counter
from contextlib import suppress

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dicom_node.people.accounts import Accounts
from dicom_node.people.roles import Role
from tests.unit.dicom_node.web.conftest import HERE, Console

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Requests for each operation.
EXAMPLES = 3


@schemathesis.serializer("application/zip")
def as_bytes(_: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_meets_a_fault_or_an_answer_that_is_not_documented(console: Console, mode: GenerationMode) -> None:
    console.catalog.add_user(name="anna", role=Role.ADMINISTRATOR, password_hash="")
    token, _ = Accounts(console.catalog).create_token("fuzz", role=Role.ADMINISTRATOR, who="anna")
    client = console.from_elsewhere(address="10.0.0.9")
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json", headers=bearer(token)).json())
    statuses: Counter[int] = Counter()
    for one in schema.get_all_operations():

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=one.ok().as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            request = requests.Request(**case.as_transport_kwargs(base_url=HERE)).prepare()
            answer = client.request(
                request.method or "",
                request.url or "",
                content=request.body,
                headers={name.lower(): value for name, value in request.headers.items()} | bearer(token),
            )
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        with suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong where nothing is asked for
            ask()

    assert statuses[200] > 10 if mode is GenerationMode.POSITIVE else statuses[422] > 40
    assert statuses[401] <= EXAMPLES  # of logging in; else the token was taken away on the way


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
