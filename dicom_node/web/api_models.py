"""Model packages under ``/api``."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from dicom_node.service.packages import HeldPackage, Packages
from dicom_node.web.answers import ModelAnswer
from dicom_node.web.types import problems

_BLOCK = 2**20


def model_router(packages: Packages) -> APIRouter:
    """What models there are, adding and removing them."""
    router = APIRouter(prefix="/api/models", tags=["models"], responses=problems(401, 403, 404, 409, 422))
    zipped = {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}, "required": True}

    @router.get("", summary="Model packages")
    def models() -> list[ModelAnswer]:
        return [model_answer(one) for one in packages.held()]

    @router.post(
        "",
        summary="Add a package: a zip file",
        status_code=201,
        openapi_extra={"requestBody": zipped},
        responses=problems(413, 507),
    )
    async def add(request: Request) -> ModelAnswer:
        with packages.room_for_archive() as path, path.open("wb") as file:
            waiting = bytearray()

            def write() -> None:
                packages.check_room(file.tell() + len(waiting))
                file.write(waiting)
                waiting.clear()

            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= _BLOCK:
                    await run_in_threadpool(write)
            await run_in_threadpool(write)
            file.flush()
            return model_answer(await run_in_threadpool(packages.add, path))

    @router.delete("/{key}", summary="Remove a package that was added", status_code=204)
    def remove(key: str) -> None:
        packages.remove(key)

    return router


def model_answer(held: HeldPackage) -> ModelAnswer:
    """A package as an answer."""
    return ModelAnswer(
        key=held.key,
        model=held.model,
        identity=held.package.identity,
        added=held.added,
        routes=list(held.routes),
        licences=list(held.licences),
        metadata=held.package.metadata,
    )
