"""What all models of the contract share: camelCase names, no unknown fields, and common field types."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD, next to what it constrains: in `rules` of a model, or in `Annotated` of a field.

    `expression` is CEL as the API server evaluates it (https://kubernetes.io/docs/reference/using-api/cel/); `message` is what the
    user reads if it is false.
    """

    expression: str
    message: str
    field_path: str | None = None
    """Where the error is shown, for rules of the whole object: ".spec.dataset"."""

    def to_schema(self) -> dict[str, str]:
        """As an entry of x-kubernetes-validations."""
        path = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.expression, "message": self.message} | path

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = dict(handler(core_schema))
        return schema | {"x-kubernetes-validations": [self.to_schema()]}


class Model(BaseModel):
    """A part of the contract: snake_case in Python, camelCase in YAML; an unknown field is an error, not a surprise."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.to_schema() for rule in cls.rules]
        # Pydantic leaves out defaults from a factory. We write them in full, since the API server checks CEL rules on a default
        # before it fills in nested defaults.
        for field in cls.model_fields.values():
            default = field.get_default(call_default_factory=True, validated_data={})
            if isinstance(default, BaseModel):
                schema["properties"][field.alias]["default"] = default.model_dump(by_alias=True, exclude_none=True)
        return schema


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
"""A name as Kubernetes labels and DNS allow it: lower-case letters, digits, "-"."""

S3Uri = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=1024)]
"""A bucket and a key prefix: s3://bucket/prefix/."""

Quantity = Annotated[
    str,
    BeforeValidator(_number_as_text),
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        max_length=24,
        json_schema_extra={"x-kubernetes-int-or-string": True},
    ),
]
"""An amount as Kubernetes writes it: 8, "500m", 32Gi."""

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, max_length=40)]
"""A time in RFC 3339, UTC."""
