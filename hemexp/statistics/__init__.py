"""Scores, intervals and lines: pure functions on arrays, used by several rooms."""
