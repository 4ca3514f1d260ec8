"""The page on which a reader judges a study, served on this machine alone.

Every address begins with a reader's code, so that one reader sees neither another's order nor answers. Names from the wire are looked up
in the study and never become paths.
"""

import threading
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware

from train.evaluation.viewer import PLANES, byte_hu, picture_path
from train.readers.study import (
    Answer,
    Answers,
    Study,
    answers_path,
    images_folder,
    read_answers,
    read_study,
    write_answers,
)

_MOST_BYTES = 64 * 1024
_STATIC = {
    "": ("train.readers", "page/index.html", "text/html; charset=utf-8"),
    "reader.js": ("train.readers", "page/reader.js", "text/javascript; charset=utf-8"),
    "reader.css": ("train.readers", "page/reader.css", "text/css; charset=utf-8"),
    "slices.js": ("train.evaluation", "templates/slices.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Desk:
    """The study, and each reader's answers as they are on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.study = folder, read_study(folder)
        self._lock = threading.Lock()
        self._numbers = {reader.code: number for number, reader in enumerate(self.study.readers, start=1)}
        self._answers = {number: self._kept(number) for number in self._numbers.values()}

    def number(self, code: str) -> int:
        """Of the reader with that code; an address of nobody is not there."""
        if code not in self._numbers:
            raise HTTPException(404, "This address belongs to no reader of this study.")
        return self._numbers[code]

    def answers(self, number: int) -> Answers:
        return self._answers[number]

    def keep(self, number: int, item: str, answer: Answer) -> None:
        """In memory once it is on disk."""
        with self._lock:
            answers = Answers(reader=number, answers={**self._answers[number].answers, item: answer})
            write_answers(self.folder, answers)
            self._answers[number] = answers

    def _kept(self, number: int) -> Answers:
        path = answers_path(self.folder, number)
        return read_answers(path) if path.is_file() else Answers(reader=number)


def reading_room(folder: Path) -> FastAPI:
    """The application for the readers' part of a study in ``folder``.

    Raises
    ------
    TrainError
        ``study_missing``, ``study_damaged``.
    """
    desk = _Desk(folder)
    study = desk.study
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    # Another site's name that is made to point here is refused.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    Number = Annotated[int, Depends(desk.number)]

    @app.middleware("http")
    async def with_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/{code}/study")
    def what_is_asked(number: Number) -> dict[str, Any]:
        return _for_reader(study, number, desk.answers(number))

    @app.get("/{code}/answers.json")
    def download(number: Number) -> JSONResponse:
        name = f'attachment; filename="reader-{number}.json"'
        return JSONResponse(desk.answers(number).model_dump(mode="json"), headers={"Content-Disposition": name})

    @app.put("/{code}/answers/{item}", status_code=204)
    async def answer(number: Number, item: str, request: Request) -> None:
        if item not in study.items:
            raise HTTPException(404, "The study has no such item.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                raise HTTPException(413, "The answer is too long.")
        try:
            found = Answer.model_validate_json(body)
        except ValidationError as error:
            where = sorted({".".join(map(str, one["loc"])) for one in error.errors()})
            raise HTTPException(422, f"The answer cannot be kept: {', '.join(where)}.") from error
        if not found.fits(study):
            raise HTTPException(422, "The answer is to another question: choice and realism do not fit this study.")
        desk.keep(number, item, found)

    @app.get("/{code}/images/{item}/{place}/{plane}")
    def image(number: Number, item: str, place: int, plane: str) -> Response:
        known = next((one for one in PLANES if one == plane), None)
        if item not in study.items or not 0 <= place < study.images or known is None:
            raise HTTPException(404, "The study has no such image.")
        data = picture_path(images_folder(folder, item), place, known).read_bytes()
        return Response(data, media_type="image/png")

    @app.get("/{code}/{name:path}")
    def page(number: Number, name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404, "There is no such page.")
        package, path, kind = _STATIC[name]
        return Response(files(package).joinpath(path).read_bytes(), media_type=kind)

    return app


def _for_reader(study: Study, number: int, answers: Answers) -> dict[str, Any]:
    """What the page needs to know, in this reader's order."""
    return {
        "title": study.title,
        "design": study.design,
        "acquired": study.acquired,
        "images": study.images,
        "choices": study.choices,
        "hu": byte_hu(),
        "items": [
            {"name": name, "sheets": {sheet.plane: _layout(sheet) for sheet in study.items[name]}}
            for name in study.readers[number - 1].order
        ],
        "answers": answers.model_dump(mode="json")["answers"],
    }


def _layout(sheet: Any) -> dict[str, Any]:
    return {
        "columns": sheet.columns,
        "width": sheet.width,
        "height": sheet.height,
        "slices": len(sheet.slices),
        "spacing": sheet.spacing_mm,
    }
