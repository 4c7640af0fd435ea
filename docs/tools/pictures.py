"""The pictures of the architecture page, as text for graphviz."""

import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath

from rules import ROOT, Pair, Workflow, reduced

sys.path.insert(0, str(ROOT / "tests"))
from house import CROSSINGS, GROUND, ROOMS, TOP

PHASES = {
    "scans": ("phantom", "preprocess", "segmentation"),
    "models": ("autoencoder", "latents", "expansion", "diffusion"),
    "followups": ("sampling", "evaluation"),
    "reporting": ("reporting",),
}
"""Rooms, that is DVC stages, by what a picture shows together."""

SIDEWAYS = ("models", "reporting")
"""Phases whose rules stand from left to right: of their broad boxes few fit side by side."""

CORNERS = {"scans": "br", "models": "tr", "followups": "bl", "reporting": "tr"}
"""Where a room's name stands in the pictures of phases: top or bottom, left or right."""

FILLS = {"scans": "#d6e6f5", "models": "#fbe3bf", "followups": "#d7ecd0", "reporting": "#e8d9f0"}
OUTSIDE, PAPER, INK, ARROW = "#e3e6ea", "#ffffff", "#1b2430", "#7d8794"
"""Boxes have a light ground and dark words, arrows a middle grey: seen on white and on black."""

NAMES_ON_ARROW = 3
WORDS_A_LINE = 9
HEAD = f"""digraph {{
graph [bgcolor=transparent, newrank=true, nodesep=0.25, ranksep=0.4, fontname="Arial"]
node [shape=box, style="filled,rounded", margin="0.12,0.06", fontname="Arial", fontsize=12]
node [color="{ARROW}", fontcolor="{INK}"]
edge [color="{ARROW}", fontcolor="{INK}", arrowsize=0.7, fontname="Arial", fontsize=9]
"""


def house_dot(workflow: Workflow) -> str:
    """Floors, rooms, the files that they hand on, and whom each may import."""
    files = workflow.between_rooms()
    onward = {pair for pair in files if ROOMS.index(pair[0]) < ROOMS.index(pair[1])}
    back = sorted(files.keys() - onward)
    lines = [_floor("above", f"{', '.join(TOP)}: may import everything")]
    lines += [_room(room, workflow) for room in ROOMS]
    lines += [_arrow(pair, files[pair]) for pair in sorted(reduced(onward))]
    lines += [_arrow(pair, files[pair], "constraint=false") for pair in back]
    lines += [_floor("ground", "ground floor, which all may import\n" + _wrapped(GROUND))]
    lines += ["above -> phantom [style=invis]", "reporting -> ground [style=invis]"]
    return _graph(lines)


def patient_dot(workflow: Workflow) -> str:
    """The rules that a patient of `test` goes through; grey are those that serve all patients."""
    ways = workflow.of_one_patient
    of_patient = {end for _, end in ways}
    of_patient |= {start for start, _ in ways if start == "draw_patient"}
    named = {name for pair in ways for name in pair}
    lines = [
        _rule(name, OUTSIDE if name not in of_patient else _fill(room))
        for name, room in workflow.rooms.items()
        if name in named
    ]
    return _graph(lines + _arrows(ways))


def phase_dot(workflow: Workflow, phase: str) -> str:
    """The rules of a phase's rooms; from which other rooms each reads stands in its box."""
    inside = {name: room for name, room in workflow.rooms.items() if room in PHASES[phase]}
    lines = ["rankdir=LR"] if phase in SIDEWAYS else []
    place, side = CORNERS[phase]
    for room in PHASES[phase]:
        lines += [f"subgraph cluster_{room} {{", f'label="{room}"; fontcolor="{INK}"']
        lines += [f'labelloc={place}; labeljust={side}; style="rounded,filled"']
        lines += [f'color="{ARROW}"; fillcolor="{PAPER}"']
        lines += [
            _rule(name, _fill(room), _other_rooms(name, inside, workflow))
            for name, its_room in inside.items()
            if its_room == room
        ]
        lines += ["}"]
    return _graph(lines + _arrows(pair for pair in workflow.handed_on if inside.keys() >= {*pair}))


def dots(workflow: Workflow) -> dict[str, str]:
    """Text for graphviz of every picture, by its name."""
    phases = {f"phase_{phase}": phase_dot(workflow, phase) for phase in PHASES}
    return {"house": house_dot(workflow), "patient": patient_dot(workflow)} | phases


def short(file: str) -> str:
    """What tells a kind of file from others in its folder."""
    name = PurePosixPath(file).name
    for part in ("sub-ID_", "ses-S_", "space-"):
        name = name.removeprefix(part)
    return name


def _graph(lines: Iterable[str]) -> str:
    return HEAD + "\n".join(lines) + "\n}\n"


def _fill(room: str) -> str:
    return next(FILLS[phase] for phase, rooms in PHASES.items() if room in rooms)


def _room(room: str, workflow: Workflow) -> str:
    """A room: its name, the folders that it writes into, whom it may import."""
    files = [f for rule, r in workflow.rooms.items() if r == room for f in workflow.writes[rule]]
    folders = sorted({file.split("/")[1] for file in files if file.count("/") > 1})
    allowed = [other for other in ROOMS if other in CROSSINGS.get(room, ())]
    small = [" ".join(f"{folder}/" for folder in folders)]
    small += [f"imports {', '.join(allowed)}"] if allowed else []
    words = "".join(f'<br/><font point-size="9">{line}</font>' for line in small)
    return f'{room} [fillcolor="{_fill(room)}", label=<<b>{room}</b>{words}>]'


def _floor(name: str, words: str) -> str:
    words = words.replace("\n", "\\n")
    return f'{name} [shape=box, fillcolor="{OUTSIDE}", fontsize=10, label="{words}"]'


def _rule(name: str, fill: str, others: Iterable[str] = ()) -> str:
    """A rule, with the other rooms that it reads from."""
    words = "".join(f'<br/><font point-size="9">{line}</font>' for line in others)
    return f'{name} [fillcolor="{fill}", label=<{name}{words}>]'


def _other_rooms(name: str, inside: Iterable[str], workflow: Workflow) -> list[str]:
    """Rooms beyond those of a picture that a rule reads from, two a line."""
    starts = [start for start, end in workflow.handed_on if end == name and start not in inside]
    rooms = [room for room in ROOMS if room in {workflow.rooms[start] for start in starts}]
    lines = [", ".join(rooms[at : at + 2]) for at in range(0, len(rooms), 2)]
    return [f"from {lines[0]}", *lines[1:]] if lines else []


def _arrows(pairs: Iterable[Pair]) -> list[str]:
    """Arrows, but none that follows from others."""
    return [f"{start} -> {end}" for start, end in sorted(reduced(pairs))]


def _arrow(pair: Pair, kinds: set[str], more: str = "") -> str:
    """An arrow with the names of some of the files on it."""
    names = sorted({short(file) for file in kinds})
    rest = len(names) - NAMES_ON_ARROW
    names = names[:NAMES_ON_ARROW] + ([f"and {rest} more"] if rest > 0 else [])
    cell = f"<tr><td>{'<br/>'.join(names)}</td></tr>"
    label = f'<<table border="0" cellpadding="2" bgcolor="{PAPER}">{cell}</table>>'
    return f"{pair[0]} -> {pair[1]} [label={label}{', ' + more if more else ''}]"


def _wrapped(words: tuple[str, ...]) -> str:
    """Words on lines of some words each."""
    ends = [*range(0, len(words), WORDS_A_LINE), len(words)]
    return "\n".join(" ".join(words[start:end]) for start, end in pairwise(ends))
