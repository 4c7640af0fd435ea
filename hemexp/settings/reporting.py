"""Settings of tables and figures."""

from pydantic import PositiveInt

from hemexp.settings.section import Section


class Reporting(Section):
    """Tables, figures and the page."""

    panel_patients: PositiveInt
    """Patients in figures made of CT slices, a row each. More: longer figures."""
    volume_patients: PositiveInt
    """Most patients in the figure of volumes; of more, some at equal steps of growth are shown.
    More: a fuller figure."""
    dpi: PositiveInt
    """Dots an inch of the PNG files. More: sharper, larger files; journals ask for 300."""
