"""Our words for what the grammar refuses; the library's own words name its classes and regular expressions."""

from __future__ import annotations

from pydantic_core import ErrorDetails

KEY = "[key]"
"""What pydantic adds to the place of a mapping's key."""

_SHOWN_CHARACTERS = 60
_PLAIN = {
    "missing": "is missing",
    "extra_forbidden": "is not a key of a scenario",
}
_WORDS = {
    "string_type": "must be text",
    "invalid_key": "must be a key of text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a duration such as 30s",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
}
_PATTERNS = {
    "^/": "must start with /",
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": "must start with a letter or _ and hold only letters, digits, _ . and -",
    r"^[A-Z][A-Z0-9_]*$": "must be a name in capitals such as REGISTRY_PASSWORD",
    r"^[a-z0-9][a-z0-9-]*$": "must hold only small letters, digits and -",
}
_EXAMPLES = {
    ("gate",): """gate: [cpu per request, 'p95 of "NAME" within 5%']""",
    ("budgets",): """budgets: ['p95 of "NAME" < 150ms', 'failures < 0.1%']""",
    ("stop_when",): "stop_when: ['failures > 20% for 10s']",
    ("compare", "variants"): "variants: [one, other]",
    ("compare", "varies"): "varies: [host]",
}


def example(place: tuple[str | int, ...]) -> str:
    """Return what is written at a list's place, or at that of one of its items; empty where nobody needs it."""
    found = _EXAMPLES.get(tuple(step for step in place if isinstance(step, str)))
    return f"such as {found}" if found else ""


def told(key: str, found: ErrorDetails) -> str:
    """Return what is wrong with the value, or the name, at `key`."""
    kind = found["type"]
    if kind in _PLAIN:
        return f"{key} {_PLAIN[kind]}"
    is_key = found["loc"][-1:] == (KEY,)
    name = f"the name {key}" if is_key else key
    if kind == "value_error":
        said = found["msg"].removeprefix("Value error, ")
        joint = " " if said.startswith("must ") else ": "
        return f"{name}{joint}{said} (seen: {seen(found['input'])})"
    return f"{name} {_must(found)}" + ("" if is_key else f" (seen: {seen(found['input'])})")


def seen(value: object) -> str:
    """Return a value as a scenario would say it, cut to a readable length."""
    words = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _must(found: ErrorDetails) -> str:
    context = found.get("ctx", {})
    pattern = _PATTERNS.get(context.get("pattern", ""))
    words = _WORDS.get(found["type"])
    return pattern or (words.format_map(context) if words else found["msg"][:1].lower() + found["msg"][1:])
