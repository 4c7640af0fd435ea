"""A benchmark's time: what is left, and what is not begun because it would not fit."""

import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """So many seconds of wall time from now on; None has no end.

    Attributes:
        seconds: The whole.
        missing: What was not begun or not finished, and why.
    """

    seconds: float | None
    missing: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        if self.seconds is None:
            return float("inf")
        return max(0.0, self.seconds - (time.monotonic() - self.started))

    def allows(self, name: str, estimate_s: float) -> bool:
        """Whether work of so many seconds fits into what is left; noted where it does not."""
        if estimate_s <= self.left:
            return True
        self.missing.append(f"{name}: not begun, takes {estimate_s:.0f} s of {self.left:.0f} left")
        return False

    def report(self) -> str:
        """What is missing, a line each; empty where nothing is."""
        return "\n".join(f"missing: {line}" for line in self.missing)
