"""Settings of the forecast of growth from the baseline."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from hemexp.settings.section import Released, Section


class Expansion(Section):
    """p(expansion) and the predictive distribution of growth."""

    model_file: Released
    """Folder of released models, a run's results or a bundle; null: fitted here."""
    model: Literal[
        "best",
        "four_variable_published",
        "four_variable",
        "image_clinical_published",
        "image_clinical",
        "brain",
        "timed_four_variable",
        "timed_image_clinical",
    ]
    """What sampling draws growth from (method.md 5). `best`: the lowest cross-fitted CRPS on
    training patients; `four_variable_published` with fewer than 15 with, or without, expansion."""
    folds: PositiveInt
    """Parts of the cross-fitting, and of the loops inside it that choose penalties. More: slower,
    larger training parts."""
    penalty: PositiveFloat
    """L2 penalty of the four established variables (scikit-learn's 1/C). More: their effects
    shrink."""
    published_penalties: list[PositiveFloat] = Field(min_length=1)
    """In its place in models named `_published`, of which the inner loop takes one: their effects
    shrink towards published ones. More: nearer to these."""
    image_penalties: list[PositiveFloat] = Field(min_length=1)
    """Penalties of image features and the other variables, of which the inner loop takes one.
    More: their effects shrink."""
    bootstrap: PositiveInt
    """Resamples of patients behind the intervals of `comparison.tsv`. More: slower, steadier
    limits."""
