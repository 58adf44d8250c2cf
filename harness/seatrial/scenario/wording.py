"""Messages for what the grammar refuses: pydantic's own name its classes and regular expressions."""

from __future__ import annotations

from pydantic_core import ErrorDetails

KEY = "[key]"
"""The step that pydantic adds to the place of a mapping's key."""

_SHOWN_CHARACTERS = 60
_WITHOUT_VALUE = {
    "missing": "is missing",
    "extra_forbidden": "is not a key of a scenario",
}
_MESSAGES = {
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
    """Return an example for a list's place, or that of one of its items; empty where there is none."""
    text = _EXAMPLES.get(tuple(step for step in place if isinstance(step, str)))
    return f"such as {text}" if text else ""


def message_of(key: str, detail: ErrorDetails) -> str:
    """Return what is wrong with the value, or the name, at `key`."""
    kind = detail["type"]
    if kind in _WITHOUT_VALUE:
        return f"{key} {_WITHOUT_VALUE[kind]}"
    is_key = detail["loc"][-1:] == (KEY,)
    name = f"the name {key}" if is_key else key
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        joint = " " if message.startswith("must ") else ": "
        return f"{name}{joint}{message} (seen: {shown(detail['input'])})"
    context = detail.get("ctx", {})
    if (pattern := context.get("pattern", "")) in _PATTERNS:
        message = _PATTERNS[pattern]
    elif kind in _MESSAGES:
        message = _MESSAGES[kind].format_map(context)
    else:
        message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{name} {message}" + ("" if is_key else f" (seen: {shown(detail['input'])})")


def shown(value: object) -> str:
    """Return a value as it is written in a scenario, cut to a readable length."""
    words = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
