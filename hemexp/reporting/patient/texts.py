"""All that the page of a patient says, in one table: a language is another such table."""

import csv
from pathlib import Path

from hemexp.reporting.patient import FOLDER

TEXTS = FOLDER / "texts.tsv"


class Texts(dict[str, str]):
    """Texts by key; called with a key and values, it fills them in."""

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with values in place of its braces.

        Raises:
            KeyError: There is no such text, or it asks for a value that is not given.
        """
        return self[key].format_map(values)

    def counted(self, key: str, count: int, **values: object) -> str:
        """The text `KEY_one` or `KEY_many` for a number of things."""
        return self(f"{key}_{'one' if count == 1 else 'many'}", count=count, **values)


def read_texts(path: Path = TEXTS) -> Texts:
    """Reads a table with the columns key and text."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        return Texts((row["key"], row["text"]) for row in rows)
