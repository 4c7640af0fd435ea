"""The page of commands, made from the parser's own tables in `hemexp.cli`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemexp.cli import ARGUMENTS, VERBS

RULES = Path(__file__).parents[2] / "workflow" / "rules"

HEAD = """# Commands

Every command of `hemexp`, with its options and their defaults; made from the parser.
`hemexp VERB --help` says the same in a terminal. First come the commands that people call, then
those that the workflow calls.

A command ends with code 0, with 2 when the input is at fault (the message says which patient and
file, and the cure), or with a traceback when the program is.

## For people
"""

WORKFLOW = """
## Of the workflow, room by room

The rule of the same name calls each of these, with the options filled in. `snakemake -p` prints
the calls. Started by hand they do the same work. Their options stand below.
"""

OPTIONS = """
## Options of the workflow's commands
"""

HEADER = "| option | what it is | default |\n|---|---|---|"


def cli_page() -> str:
    """The whole page, Markdown."""
    rooms = rooms_of_verbs()
    by_hand = [verb for verb in VERBS if verb not in rooms]
    lines = [HEAD]
    for verb in by_hand:
        lines += _of_person(verb)
    lines.append(WORKFLOW)
    for room in dict.fromkeys(rooms.values()):
        lines += _of_room(room, [verb for verb in VERBS if rooms.get(verb) == room])
    used = {name for verb in rooms for name in VERBS[verb].arguments}
    lines += [OPTIONS, HEADER, *(_row(name) for name in ARGUMENTS if name in used)]
    return "\n".join(lines) + "\n"


def rooms_of_verbs() -> dict[str, str]:
    """The room whose rules call a verb, in the order of the rooms; a verb for people has none."""
    included = re.findall(r"rules/(\w+)\.smk", (RULES.parents[1] / "Snakefile").read_text())
    return {
        verb: room
        for room in included
        for verb in re.findall(r"-m hemexp ([a-z-]+)", (RULES / f"{room}.smk").read_text())
    }


def _of_person(verb: str) -> Iterator[str]:
    """A verb with a call that is enough, and a table of its options."""
    names = VERBS[verb].arguments
    needed = [_name(name) for name in names if ARGUMENTS[name].get("required")]
    given = [_name(name) for name in names if _is_needed_place(ARGUMENTS[name])]
    yield f"\n### {verb}\n\n{cell(VERBS[verb].run.__doc__)}\n"
    yield f"```\n{' '.join(['hemexp', verb, *given, *needed])}\n```\n"
    yield HEADER
    yield from (_row(name) for name in names)


def _of_room(room: str, verbs: list[str]) -> Iterator[str]:
    """A table of a room's verbs."""
    yield f"\n### {room.capitalize()}\n\n| command | what it does | options |\n|---|---|---|"
    for verb in verbs:
        options = " ".join(f"`{_name(name, short=True)}`" for name in VERBS[verb].arguments)
        yield f"| `{verb}` | {cell(VERBS[verb].run.__doc__)} | {options} |"


def _row(name: str) -> str:
    """An option: how it is written, what it is, its default."""
    options = ARGUMENTS[name]
    default = options.get("default")
    if options.get("required") or _is_needed_place(options):
        shown = "needed"
    else:
        shown = "" if default in (None, []) else f"`{default}`"
    return f"| `{_name(name)}` | {cell(options['help'])} | {shown} |"


def _is_needed_place(options: dict[str, Any]) -> bool:
    """Whether an argument has no dashes and may not be left out."""
    return bool(options.get("positional")) and options.get("nargs") != "?"


def _name(name: str, short: bool = False) -> str:
    """An option as it is typed, with a word for its value."""
    options = ARGUMENTS[name]
    if options.get("positional"):
        return name.upper()
    if short or options.get("action") == "store_true":
        return f"--{name}"
    value = {int: "N", float: "X", Path: "PATH"}.get(options.get("type"), "NAME")
    value = "/".join(options.get("choices", [value]))
    return f"--{name} {value}" + (" ..." if options.get("nargs") in ("*", "+") else "")


def verb_of_rule(rule: str) -> str:
    """What the verb of a rule does, in words; a rule and its verb differ by a plural at most."""
    verbs = {verb.replace("-", "_").removesuffix("s"): verb for verb in VERBS}
    return VERBS[verbs[rule.removesuffix("s")]].run.__doc__


def cell(text: str) -> str:
    """Words on one line, which hold no bar."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
