"""A checker for the part of JSON Schema that Seatrial's schemas use, so that no test needs another package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}
_KNOWN = frozenset(
    "$schema title description type properties required additionalProperties items enum const anyOf".split()
)


def problems(value: Any, schema: dict[str, Any], at: str = "$") -> Iterator[str]:  # noqa: ANN401  (any JSON value)
    """Yield where a value violates the schema; ValueError for a keyword that is not known here."""
    if unknown := set(schema) - _KNOWN:
        raise ValueError(f"{at}: {unknown}")
    if "anyOf" in schema and all(list(problems(value, one, at)) for one in schema["anyOf"]):
        yield f"{at}: none of anyOf"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{at}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict):
        yield from _of_object(value, schema, at)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), f"{at}[{place}]")


def _is(value: Any, types: str | list[str]) -> bool:  # noqa: ANN401
    names = [types] if isinstance(types, str) else types
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES[name]) for name in names)


def _of_object(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, inner in value.items():
        if name in known:
            yield from problems(inner, known[name], f"{at}.{name}")
        elif others is False:
            yield f"{at}: {name} is not in the schema"
        elif isinstance(others, dict):
            yield from problems(inner, others, f"{at}.{name}")
