"""Settings of a program that are environment variables: one a field, called `HEADRACE_<NAME OF THE FIELD>`."""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace_api.wrong_fields import wrong_fields

PREFIX: Final = "HEADRACE_"


class BadSettingsError(ValueError):
    """The environment does not make sense; the text names each variable, what it is and what would be right."""


def variable(field: str) -> str:
    """The variable that sets a field."""
    return PREFIX + field.upper()


class EnvironmentSettings(BaseModel):
    """What settings of a program are derived from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], /, **given: Any) -> Self:
        """Settings from environment variables; empty ones count as absent. No variable is looked up for a field in `given`.

        Raises:
            BadSettingsError: names every variable that is missing or wrong.
        """
        found = {name: environment.get(variable(name), "") for name in cls.model_fields if name not in given}
        try:
            return cls.model_validate(given | {name: text for name, text in found.items() if text})
        except ValidationError as error:
            wrong = wrong_fields(error, cls)
            raise BadSettingsError("; ".join(f"{variable(one.path)}: {one.told} ({one.description})" for one in wrong)) from error
