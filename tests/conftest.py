"""Fixtures shared by all rooms."""

import pytest

from hemexp.settings import Settings, load_settings


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The embedded default."""
    return load_settings({"preset": "demo"})
