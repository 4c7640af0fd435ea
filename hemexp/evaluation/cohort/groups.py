"""Whose patients a row of a table is of: a split, together and centre by centre."""

import pandas as pd

GROUP = ("split", "center")


def by_group(table: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The patients of each split together and, where a split has several centres, by centre."""
    groups = []
    for split, part in table.groupby("split"):
        groups.append(({"split": split, "center": "all"}, part))
        if part["center"].nunique() > 1:
            groups += [
                ({"split": split, "center": center}, rows)
                for center, rows in part.groupby("center")
            ]
    return groups
