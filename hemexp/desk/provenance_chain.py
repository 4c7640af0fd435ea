"""Verb `provenance`: where a product comes from, through its sidecars back to the raw files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemexp import Fault, HemexpError
from hemexp.layout import Layout, of_any_patient
from hemexp.provenance import canonical_json, hash_file, hash_value, sidecar_path


@dataclass
class Link:
    """One file of a chain.

    Attributes:
        name: As the sidecar of what was made from it says.
        path: Where it lies; None where it is not found.
        state: `unchanged`, `CHANGED` (since it was read), `missing` or `` (nothing to compare).
        record: Its own sidecar; empty for raw files.
        links: What it was made from.
    """

    name: str
    path: Path | None
    state: str
    record: dict[str, Any]
    links: list["Link"] = field(default_factory=list)

    def behind(self) -> dict[str, "Link"]:
        """All files behind this one by name, each once."""
        found: dict[str, Link] = {}
        waiting = list(self.links)
        while waiting:
            link = waiting.pop()
            # Whoever read another content than today's has a say before those who did not.
            if link.name not in found or link.state == "CHANGED":
                waiting += link.links if link.name not in found else []
                found[link.name] = link
        return found


def trace(product: Path, layout: Layout, raw: Mapping[str, Path]) -> Link:
    """The chain of a product, with the hash of every file compared with the file of today.

    Args:
        product: Any product of a run.
        layout: Of the run.
        raw: Raw files by the names that sidecars give them; may be empty.

    Raises:
        HemexpError: The product is not there, or has no sidecar.
    """
    record = _record(product)
    if not product.is_file() or not record:
        found = "no such file" if not product.is_file() else "a file without a sidecar"
        raise HemexpError(
            Fault(
                str(product),
                found,
                "a product of a run",
                "Name a file below results/, such as a figure.",
            )
        )
    known: dict[str, Link] = {}

    def follow(name: str, digest: str) -> Link:
        if name not in known:
            path = _find(name, layout.root, raw)
            known[name] = Link(name, path, _state(name, path, digest), _record(path))
            if path is not None:
                known[name].links = links(known[name].record)
        link = known[name]
        return Link(name, link.path, _state(name, link.path, digest), link.record, link.links)

    def links(record: dict[str, Any]) -> list[Link]:
        return [follow(name, digest) for name, digest in sorted(record.get("inputs", {}).items())]

    return Link(product.name, product, "", record, links(record))


def chain_lines(root: Link, *, whole: bool = False) -> list[str]:
    """The chain as lines of a tree, each file with its verb, settings and state.

    Of files that differ in the patient alone one is shown, with how many are like it, unless one
    of them is not as it was; what is shown above is not shown again.

    Args:
        root: Of `trace`.
        whole: Show every file.
    """
    lines = [f"{_describe(root)} commit {root.record.get('git', 'unknown')}"]
    shown_above: set[str] = set()

    def branch(links: list[Link], indent: str) -> None:
        shown = links if whole else _one_of_a_kind(links)
        for number, link in enumerate(shown, 1):
            last = number == len(shown)
            alike = "" if whole else _alike(link, links)
            # What one verb made of the same files has one chain.
            made = canonical_json([link.record.get("verb"), link.record.get("inputs")])
            again = " (made as above)" if made in shown_above and link.links else ""
            git = link.record.get("git", root.record.get("git"))
            commit = "" if git == root.record.get("git") else f" commit {git}"
            mark = "└─ " if last else "├─ "
            lines.append(f"{indent}{mark}{_describe(link)}{commit}{alike}{again}")
            if not again:
                shown_above.add(made)
                branch(link.links, indent + ("   " if last else "│  "))

    branch(root.links, "")
    files = root.behind()
    used = [link.record.get("settings") for link in (root, *files.values())]
    known = {hash_value(settings): settings for settings in used if settings}
    lines += [f"settings {key} = {canonical_json(known[key])}" for key in sorted(known)]
    doubtful = sorted(name for name, link in files.items() if link.state in ("CHANGED", "missing"))
    lines.append(
        f"{len(files)} files behind it, {len(doubtful)} changed since or missing"
        + "".join(f"\n  {files[name].state}: {name}" for name in doubtful)
    )
    return lines


def _kind(link: Link) -> str:
    """The name without its patient: links of one kind were made alike."""
    return of_any_patient(link.name)


def _one_of_a_kind(links: list[Link]) -> list[Link]:
    first: dict[str, Link] = {}
    for link in links:
        first.setdefault(_kind(link), link)
    odd = [link for link in links if link.state in ("CHANGED", "missing")]
    return [*first.values(), *(link for link in odd if link not in first.values())]


def _alike(link: Link, links: list[Link]) -> str:
    count = sum(_kind(other) == _kind(link) for other in links) - 1
    return f" (and {count} of other patients)" if count else ""


def _describe(link: Link) -> str:
    record = link.record
    parts = [link.name]
    if record:
        settings = record.get("settings") or {}
        made = f"hemexp {record['verb']}"
        made += f", settings {hash_value(settings)}" if settings else ""
        made += f", seed {record['seed']}" if record.get("seed") is not None else ""
        parts.append(f"[{made}]")
    elif link.path is None:
        parts.append("[not found here]")
    else:
        parts.append("[raw]" if link.name.startswith("raw/") else "[no sidecar]")
    return " ".join([*parts, link.state]).strip()


def _find(name: str, results: Path, raw: Mapping[str, Path]) -> Path | None:
    """Where a file lies that a sidecar names by the last two parts of its path."""
    if name in raw:
        return raw[name]
    if name.startswith(("raw/", "released/")):
        return None
    rooms = sorted(path for path in results.glob("*") if path.is_dir())
    places = [results / name, results.parent / name, *(room / name for room in rooms)]
    return next((place for place in places if place.is_file()), None)


def _state(name: str, path: Path | None, digest: str) -> str:
    if name.startswith("released/"):
        return ""  # another run's: its hash is in the sidecar, the file need not be here
    if path is None or not path.is_file():
        return "missing"
    return "unchanged" if hash_file(path) == digest else "CHANGED"


def _record(path: Path | None) -> dict[str, Any]:
    """A file's sidecar; {} where there is none."""
    sidecar = sidecar_path(path) if path else None
    if sidecar is None or not sidecar.is_file():
        return {}
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) and "verb" in record else {}
