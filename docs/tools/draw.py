"""Draws the architecture page's pictures and tables anew: `make figures`, which needs graphviz.

Each picture holds a hash of the text that graphviz drew it from; a test says when it is stale.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections import defaultdict

from cli_page import cell, verb_of_rule
from pictures import dots, short
from rules import ROOT, Workflow, read_workflow

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PICTURES = ROOT / "docs" / "figures" / "architecture"

TITLES = {
    "house": "Ten rooms between the verbs above and the ground floor below, and their files",
    "patient": "The rules that a patient of the test split goes through",
    "phase_scans": "Rules of phantom, preprocess and segmentation",
    "phase_models": "Rules of autoencoder, latents, expansion and diffusion",
    "phase_followups": "Rules of sampling and evaluation",
    "phase_reporting": "Rules of reporting",
}
"""What each picture shows, for who cannot see it."""


def digest(dot: str) -> str:
    """Hash of a picture's text, 16 hex digits."""
    return hashlib.sha256(dot.encode()).hexdigest()[:16]


def draw(name: str, dot: str) -> str:
    """The picture as SVG, with a title and the hash of its text.

    Raises:
        CalledProcessError: graphviz does not take the text; it has said why.
    """
    done = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True)
    svg = re.sub(r"<!--.*?-->\n?", "", done.stdout[done.stdout.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>\n?", "", svg)
    svg = svg.replace('font-family="Arial"', 'font-family="Arial,Helvetica,sans-serif"')
    start, body = svg.split(">", 1)
    head = f'{start} role="img">\n<title>{TITLES[name]}</title>\n<!-- {digest(dot)} -->'
    return "\n".join(line.rstrip() for line in (head + body).splitlines()) + "\n"


def files_table(workflow: Workflow) -> str:
    """Kinds of files that rooms hand on: who writes them, who reads them."""
    readers = defaultdict(set)
    for (start, end), files in workflow.between_rooms().items():
        for file in files:
            readers[start, file].add(end)
    rooms = list(dict.fromkeys(workflow.rooms.values()))
    rows = defaultdict(list)
    for (start, file), ends in readers.items():
        rows[rooms.index(start), tuple(sorted(ends, key=rooms.index))].append(_place(file))
    lines = ["| written by | files | read by |", "|---|---|---|"]
    for (start, ends), files in sorted(rows.items()):
        names = " ".join(f"`{name}`" for name in sorted(set(files)))
        lines.append(f"| {rooms[start]} | {names} | {', '.join(ends)} |")
    return "\n".join(lines)


def patient_table(workflow: Workflow) -> str:
    """The steps of one patient: rule, room, what it does, what it leaves."""
    of_patient = {end for _, end in workflow.of_one_patient} | {"draw_patient"}
    lines = ["| rule | room | what it does | leaves |", "|---|---|---|---|"]
    for name, room in workflow.rooms.items():
        if name in of_patient:
            left = " ".join(f"`{file}`" for file in sorted(set(map(short, workflow.writes[name]))))
            lines.append(f"| `{name}` | {room} | {cell(verb_of_rule(name))} | {left} |")
    return "\n".join(lines)


def with_tables(page: str, workflow: Workflow) -> str:
    """The page with its made tables, each between two comments, as they are today."""
    for name, table in (("files", files_table(workflow)), ("patient", patient_table(workflow))):
        between = re.compile(f"(<!-- made: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = between.subn(lambda old, table=table: f"{old[1]}{table}\n{old[2]}", page)
        if found != 1:
            raise ValueError(f"{PAGE}: found {found} places for the table of {name}, expected 1")
    return page


def stale(workflow: Workflow) -> list[str]:
    """Pictures and tables that are not what the code says today."""
    found = []
    for name, dot in dots(workflow).items():
        file = PICTURES / f"{name}.svg"
        if not file.is_file() or digest(dot) not in file.read_text(encoding="utf-8"):
            found.append(file.name)
    page = PAGE.read_text(encoding="utf-8")
    return found + ([PAGE.name] if with_tables(page, workflow) != page else [])


def _place(file: str) -> str:
    """A kind of file with its folder."""
    return f"{file.split('/')[1]}/{short(file)}"


def main() -> None:
    """Draws all of it."""
    if shutil.which("dot") is None:
        sys.exit("make figures: no `dot` here; it is graphviz's (`apt-get install graphviz`)")
    workflow = read_workflow()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, dot in dots(workflow).items():
        (PICTURES / f"{name}.svg").write_text(draw(name, dot), encoding="utf-8")
    page = with_tables(PAGE.read_text(encoding="utf-8"), workflow)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
