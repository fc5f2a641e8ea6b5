"""values.schema.json: Helm checks values against it before it renders anything."""

from typing import Any

from headrace_chart.values import Values


def values_schema() -> dict[str, Any]:
    """The JSON schema of the values."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Values.model_json_schema(by_alias=True)}
    # Helm itself passes `global` to a chart that another chart depends on.
    schema["properties"]["global"] = {"type": "object"}
    untitled: dict[str, Any] = _without_titles(schema)
    return untitled


def _without_titles(node: Any) -> Any:
    """pydantic gives every field its own name as a title. A property may be called `title` too, but only a title is a string."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_titles(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
