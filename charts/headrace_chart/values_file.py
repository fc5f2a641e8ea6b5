"""values.yaml: every value with its default, below a comment that explains it."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from headrace_chart.values import Values

_HEADER: Final = "# Generated from charts/headrace_chart/values.py by `make manifests`. Change the model, not this file."
_WIDTH: Final = 110


def values_yaml() -> str:
    """The whole file."""
    return "\n".join([_HEADER, *_lines(Values(), 0)]) + "\n"


def plain(value: Any) -> Any:
    """A default as YAML and JSON write it: camelCase, without unset fields, whole numbers without a fraction."""
    if isinstance(value, BaseModel):
        return {key: plain(item) for key, item in value.model_dump(by_alias=True, exclude_none=True).items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def sections(model: BaseModel) -> Iterator[tuple[str, str, Any]]:
    """(name, meaning, default) of each value of a group. The default of a group is its model."""
    for name, field in type(model).model_fields.items():
        yield str(field.alias or name), str(field.description or ""), getattr(model, name)


def is_group(value: Any) -> bool:
    """Whether to list each of its fields separately. A peer's, for example, are not listed: its class describes them."""
    return isinstance(value, BaseModel) and all(field.description for field in type(value).model_fields.values())


def _lines(model: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, meaning, default in sections(model):
        if depth == 0:
            yield ""
        yield from textwrap.wrap(meaning, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        if is_group(default):
            yield f"{indent}{name}:"
            yield from _lines(default, depth + 1)
        else:
            yield f"{indent}{name}: {json.dumps(plain(default), ensure_ascii=False)}"
