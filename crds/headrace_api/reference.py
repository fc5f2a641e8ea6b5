"""The reference in docs/, generated from the models: `python -m headrace_api.reference` prints it, `make manifests` writes it."""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from headrace_api import dataset, names, tasks
from headrace_api.structural import described_schema, structural_schema
from headrace_api.trainingjob import TrainingJob, TrainingJobSpec, TrainingJobStatus

_HEADER = """<!-- Generated from headrace_api by `make manifests`. Change the models, not this file. -->
# Reference

This page is generated from the same models as the CRD, which the programs use.
`kubectl explain trainingjob.spec --recursive` shows the fields too.
"""


def to_markdown() -> str:
    """The whole page."""
    return "\n".join(
        [
            _HEADER,
            "## TrainingJob: spec\n",
            *_fields_table(structural_schema(TrainingJobSpec, "spec")),
            "\n### Rules\n",
            "The API server refuses a manifest that breaks one of these, with this message:\n",
            *(f"- {message}" for message in _rules()),
            "\n## TrainingJob: status\n",
            *_fields_table(structural_schema(TrainingJobStatus, "status")),
            "\n## States and reasons\n",
            f"A job is always in one of the states {_list(names.State)}; "
            f"{_list(state for state in names.State if state.final)} are final. "
            "`status.reason` is one of:\n",
            "| reason | meaning |\n|---|---|",
            *(f"| `{reason}` | {reason.meaning} |" for reason in names.Reason if reason not in names.NOT_IN_STATUS),
            "\nThe trainer writes its reason into `outcome.json`, which may also have:\n",
            *(f"- `{reason}`: {reason.meaning}" for reason in names.Reason if reason in names.NOT_IN_STATUS),
            "\n## Exit codes of the trainer\n",
            *(f"- `{code.value}` {code.name}: {text}" for code, text in _EXIT_CODES.items()),
            "\n## dataset.json\n",
            *_fields_table(described_schema(dataset.Manifest)),
            "\n| format | tasks |\n|---|---|",
            *(f"| {name} | {', '.join(task.words for task in held)} |" for name, held in dataset.FORMATS.items()),
            "\n## Task conversions\n",
            "Headrace takes the shortest path from a layer's task to a head's task:\n",
            *(
                f"- {source.words} → {', '.join(t.words for t in targets)}"
                for source, targets in tasks.CONVERSIONS.items()
                if targets
            ),
            "",
        ]
    )


_EXIT_CODES = {
    names.ExitCode.OK: "the job is done, or was stopped",
    names.ExitCode.RETRY: "an error that another attempt may not hit; counts towards `backoffLimit`",
    names.ExitCode.FATAL: "an error that every attempt would hit; the job ends in Error at once",
}


def _list(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _rules() -> Iterator[str]:
    seen = set()
    for schema in (
        structural_schema(TrainingJobSpec, "spec"),
        {"x-kubernetes-validations": [rule.to_schema() for rule in TrainingJob.rules]},
    ):
        for rule in _walk_rules(schema):
            if rule not in seen:
                seen.add(rule)
                yield rule


def _walk_rules(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
        for value in schema.values():
            yield from _walk_rules(value)


def _fields_table(schema: dict[str, Any]) -> list[str]:
    return ["| field | type | default | meaning |", "|---|---|---|---|", *_rows(schema, "")]


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        meaning = " ".join(inspect.cleandoc(field.get("description", "")).split())
        yield f"| `{prefix}{name}` | {_type(field)} | {default} | {meaning} |"
        if "properties" in field:
            yield from _rows(field, f"{prefix}{name}.")
        elif "properties" in field.get("items", {}):
            yield from _rows(field["items"], f"{prefix}{name}[].")


def _default(field: dict[str, Any]) -> str:
    default = field.get("default", "")
    return f"`{default}`" if not isinstance(default, dict | list) and default != "" else ""


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(str(value) for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    bounds = [f"{sign} {field[bound]:g}" for bound, sign in _signs(field).items() if bound in field]
    return ", ".join([field.get("format", field.get("type", "")), *bounds])


def _signs(field: dict[str, Any]) -> dict[str, str]:
    return {
        "minimum": ">" if field.get("exclusiveMinimum") else "≥",
        "maximum": "<" if field.get("exclusiveMaximum") else "≤",
    }


if __name__ == "__main__":
    sys.stdout.write(to_markdown())
