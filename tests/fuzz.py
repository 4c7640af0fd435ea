"""What the tests on made-up inputs share."""

from hypothesis import HealthCheck, settings

FUZZ = settings(
    max_examples=300,
    deadline=10_000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
"""The same cases every time, each within 10 s."""


def assert_told(error):
    """Each fault in one sentence with all its parts."""
    assert error.faults
    for fault in error.faults:
        assert all(part.strip() for part in fault), fault
        assert "\n" not in str(fault), fault
        assert fault.cure[0].isupper() and fault.cure.endswith("."), fault
