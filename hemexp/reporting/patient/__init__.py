"""The page of one patient: pictures that a reader turns in the hand, and what they mean.

Arrays become a payload (`pack`), read from the results by `layers`; `viewer` puts it beside the
page's own HTML, style and script. Numbers are read off the drawn follow-ups (`facts`), and become
rows and sentences (`numbers`, `what_if`, `trust`), whose words all stand in `texts.tsv`. Nothing
on the page asks for a second file or the network.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def page_files() -> list[Path]:
    """Templates, styles, scripts and texts: what the page is made of beside code, sorted."""
    return sorted(p for p in FOLDER.iterdir() if p.is_file() and p.suffix != ".py")
