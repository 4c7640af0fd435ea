"""What all sections have in common."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]

Released = Annotated[str | None, Field(default=None, exclude=True)]
"""Folder of released models. Left out of what is hashed, so that the key alone makes nothing
again; it is no property of the model either."""


class Section(BaseModel):
    """Settings of one room: frozen, complete, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values, for sidecars and model files."""
        return self.model_dump(mode="json")

    @classmethod
    def dotted_keys(cls, *parts: str) -> Iterator[str]:
        """Every key below the section, dotted, those of its own sections too.

        Args:
            *parts: Names on the way to the section, which every key then begins with.
        """
        for name, field in cls.model_fields.items():
            if is_section(field.annotation):
                yield from field.annotation.dotted_keys(*parts, name)
            else:
                yield ".".join([*parts, name])

    @classmethod
    def below(cls, *parts: str) -> type["Section"]:
        """The class of a section by the names on its way, such as `preprocess`, `grid`."""
        found = cls
        for part in parts:
            found = found.model_fields[part].annotation
        return found


def is_section(annotation: Any) -> bool:  # noqa: ANN401 - the annotation of a field
    """Whether a field holds keys of its own."""
    return isinstance(annotation, type) and issubclass(annotation, Section)
