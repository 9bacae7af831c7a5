"""The OpenAPI text: what each answer is, and what may come in its place.

Holds: every status and media type that a route answers with is in the text; a test asks the server at random, and
       compares. HEAD is not in it: it answers as GET does, without a body.
Plan:  FastAPI knows the parameters; answers are told here, in one table, since most are bytes made by hand.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from logflume.serve import problems
from logflume.serve.raw import PACKED
from logflume.serve.reading import Media

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

Schema = dict[str, Any]

_LOG = "/api/v1/logs/{log_id}"
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_YES_NO: Schema = {"type": "boolean"}
_LIST: Schema = {"type": "array"}
_THING: Schema = {"type": "object"}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(**members: Schema) -> Schema:
    return {"type": "object", "properties": members, "required": [*members]}


_PROBLEM = _object(type=_TEXT, title=_TEXT, status=_WHOLE, detail=_TEXT)
_PROBLEM["description"] = "RFC 9457. `type` is a stable word for programs; some problems have members of their own."
_LINES = _object(count=_WHOLE, exact=_YES_NO)
_META = _object(
    id=_TEXT,
    state=_TEXT,
    bytes=_or_null(_WHOLE),
    lines=_LINES,
    records=_WHOLE,
    first=_or_null(_TEXT),
    last=_or_null(_TEXT),
    levels=_THING,
    index=_THING,
    sources=_LIST,
    version=_TEXT,
)


@dataclass(frozen=True)
class _Answers:
    """What one operation answers with.

    Attributes:
        media: of the answer that was asked for; with the schema where it is one JSON object.
        refusals: statuses of problems, beside those that every operation on logs has.
        more: other statuses, without a problem.
    """

    media: Mapping[str, Schema | None]
    refusals: tuple[int, ...] = ()
    more: tuple[int, ...] = ()


def _json(schema: Schema) -> dict[str, Schema | None]:
    return {Media.JSON.value: schema}


_ANSWERS = {
    "/healthz": _Answers(_json(_object(status=_TEXT))),
    "/readyz": _Answers(_json(_object(status=_TEXT)), (503,)),
    "/metrics": _Answers({Media.TEXT.value: None}, (401, 503)),
    "/api/v1/logs": _Answers(_json(_object(logs=_LIST, after=_or_null(_TEXT)))),
    _LOG: _Answers(_json(_META), (403, 404, 429), (304,)),
    f"{_LOG}/meta": _Answers(_json(_META), (403, 404, 429), (304,)),
    f"{_LOG}/stream": _Answers({media.value: None for media in Media}, (403, 404, 406, 410, 429)),
    f"{_LOG}/raw": _Answers(
        {Media.TEXT.value: None, **dict.fromkeys(kind for kind, _ in PACKED.values())}, (403, 404, 416, 429), (206, 304)
    ),
    f"{_LOG}/search": _Answers({Media.NDJSON.value: None}, (403, 404, 410, 429)),
    f"{_LOG}/pages": _Answers({Media.NDJSON.value: None}, (403, 404, 410, 429)),
    f"{_LOG}/rows": _Answers(
        {Media.JSON.value: _object(rows=_LIST, lines=_LINES), Media.TEXT.value: None}, (403, 404, 410, 429)
    ),
    f"{_LOG}/locate": _Answers(_json(_object(seq=_or_null(_WHOLE), after=_or_null(_TEXT), index=_THING)), (403, 404)),
    f"{_LOG}/summary": _Answers(_json(_object(levels=_LIST, buckets=_LIST, index=_THING)), (403, 404)),
    f"{_LOG}/outline": _Answers(_json(_object(groups=_LIST, after=_or_null(_WHOLE), index=_THING)), (403, 404)),
}
"""By path. Whatever is not here is told as FastAPI found it."""

_OF_ALL = (431,)
_OF_LOGS = (400, 401, 503)


def install(app: FastAPI) -> None:
    """Let an application tell what it answers, beside what it takes."""

    def text() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _text(app)
        return app.openapi_schema

    app.openapi = text  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _text(app: FastAPI) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # GET and HEAD of one route have one name
        text = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path, operations in text["paths"].items():
        operations.pop("head", None)
        for operation in operations.values():
            # FastAPI's own name has one of the route's methods in it, now this one, now that.
            operation["operationId"] = "_".join(re.findall(r"\w+", path.removeprefix("/api/v1")))
            if path in _ANSWERS:
                operation["responses"] = _responses(path, _ANSWERS[path])
    schemas = text.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    return text


def _responses(path: str, answers: _Answers) -> dict[str, Any]:
    content = {media: {"schema": schema} if schema else {} for media, schema in answers.media.items()}
    told = {"200": {"description": "What was asked for.", "content": content}}
    for status in answers.more:
        told[str(status)] = {"description": HTTPStatus(status).phrase}
        if status == HTTPStatus.PARTIAL_CONTENT:
            told[str(status)]["content"] = content
    refusals = {*_OF_ALL, *answers.refusals, *(_OF_LOGS if path.startswith("/api/") else ())}
    problem = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted(refusals):
        told[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return told
