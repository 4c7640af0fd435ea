"""The model card: what the models are, whom they learned from, what they are not for.

Headings follow Mitchell 2019 (Model Cards for Model Reporting, FAT* 2019:220).
"""

import json
from collections.abc import Mapping

from markupsafe import Markup

from hemexp.notice import NOTICE
from hemexp.reporting.methods import ABOUT
from hemexp.reporting.reader import Reader

MISUSE = (
    "Not for the care of a patient: no diagnosis, no treatment, no triage. Not for scans with "
    "contrast, after an operation, or of bleeds from trauma, tumour or aneurysm. Not for saying "
    "what a treatment would do. Drawn scans are no evidence of what happened to anybody."
)
INTERVALS = "Intervals: 95 %, bootstrap over patients."
SCORED = ("volume", "expansion", "map")
MADE = ("autoencoder", "diffusion")
"""Rooms whose networks the card describes; the growth model is the third part."""


def write_sections(facts: Mapping[str, str], made: list[str]) -> dict[str, list[str]]:
    """Paragraphs of the card by heading.

    Args:
        facts: From `run_facts.read_facts`.
        made: A line for each model: how it was made.
    """
    models = ("autoencoder", "growth", "diffusion", "sampling")
    return {
        "Model": [f"hemexp, {ABOUT}.", *(facts[name] for name in models)],
        "Intended use": [NOTICE, facts["intended"], facts["output"]],
        "Misuse": [MISUSE],
        "Cohort": [facts["patients"], facts["centers"], facts["events"]],
        "Evaluation": [facts["counts"], facts["external"], facts["outcome"]],
        "Metrics": [*(facts[f"{name}_scores"] for name in SCORED), INTERVALS],
        "Limits": [facts["limits"]],
        "Versions": [*made, facts["software"]],
    }


def card_markdown(sections: Mapping[str, list[str]]) -> str:
    """The card as Markdown."""
    parts = ["# Model card"]
    for name, lines in sections.items():
        parts += [f"## {name}", "\n".join(f"- {one}" for one in lines)]
    return "\n\n".join(parts) + "\n"


def card_html(sections: Mapping[str, list[str]]) -> Markup:
    """The card as part of a page."""
    line = Markup("<li>{}</li>")
    part = Markup("<h3>{}</h3><ul>{}</ul>")
    return Markup("\n").join(
        part.format(name, Markup().join(line.format(one) for one in lines))
        for name, lines in sections.items()
    )


def read_made(reader: Reader) -> list[str]:
    """How each model was made: verb, commit, seed, device, and the hash of what it read."""
    layout = reader.layout
    records = {room: layout.network(room).model for room in MADE}
    lines = []
    for name, path in (records | {"growth model": layout.growth_models}).items():
        reader.seen.append(path)
        record = json.loads(path.read_text(encoding="utf-8"))
        seed = "" if record.get("seed") is None else f", seed {record['seed']}"
        lines.append(
            f"{name}: {record['verb']}, commit {record['git']}{seed}, device {record['device']}."
        )
    return lines
