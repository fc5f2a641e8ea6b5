"""Reads a program's settings from environment variables: each field from its own `HEADRACE_<NAME OF THE FIELD>`."""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace_api.wrong_fields import wrong_fields

PREFIX: Final = "HEADRACE_"


class BadSettingsError(ValueError):
    """Some variables are missing or wrong; the text names each, its value and what it should be."""


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    return PREFIX + field.upper()


class EnvironmentSettings(BaseModel):
    """The base class of a program's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # the environment holds keys

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], /, **given: Any) -> Self:
        """Reads settings from environment variables; empty ones count as unset. `given` sets fields directly, without a variable.

        Raises:
            BadSettingsError: a variable is missing or wrong; names all of them.
        """
        found = {name: environment.get(variable(name), "") for name in cls.model_fields if name not in given}
        try:
            return cls.model_validate(given | {name: text for name, text in found.items() if text})
        except ValidationError as error:
            wrong = wrong_fields(error, cls)
            raise BadSettingsError(
                "; ".join(f"{variable(one.path)}: {one.sentence} ({one.description})" for one in wrong)
            ) from error
