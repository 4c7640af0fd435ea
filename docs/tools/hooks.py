"""What `mkdocs build` does beyond its files: pages made from what stands elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from posixpath import join
from typing import Any

from cli_page import cli_page
from links import Repository, rewrite_links
from lists import indent_lists
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

COPIED = {
    "README.md": "index.md",
    "config/README.md": "reference/sheet.md",
    "results/README.md": "reference/results.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
}
"""Pages of the site that stand elsewhere in the repository."""

API = {
    "Scores of images": ["hemexp.evaluation.metrics"],
    "Forecasts of growth": ["hemexp.expansion.distribution", "hemexp.expansion.compare"],
    "Ways to find the brain": ["hemexp.preprocess.skull"],
    "The phantom": ["hemexp.phantom.world"],
    "Samplers": ["hemexp.sampling.samplers"],
    "Sheet and files": ["hemexp.sheet", "hemexp.columns", "hemexp.layout", "hemexp.volumes"],
}
"""Modules that somebody outside the house uses or adds to, by what they are for."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the made pages to those below `docs/`."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in COPIED.items()}
    made |= {"reference/cli.md": cli_page(), "reference/api.md": api_page()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites links and lists of a page."""
    places = {join("docs", file.src_uri): file.src_uri for file in files} | COPIED
    sources = {place: source for source, place in places.items()}
    repository = Repository(
        places, dict(nav_titles(config.nav)), lambda path: (ROOT / path).exists()
    )
    here = page.file.src_uri
    return indent_lists(rewrite_links(markdown, sources[here], here, repository))


def nav_titles(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """Pages that the navigation gives a title, at any depth, with it.

    Args:
        nav: As it stands in `mkdocs.yml`.
    """
    for entry in nav:
        for title, inner in entry.items() if isinstance(entry, dict) else ():
            if isinstance(inner, str):
                yield inner, title
            else:
                yield from nav_titles(inner)


def api_page() -> str:
    """What mkdocstrings makes the page of the Python modules from."""
    lines = [
        "# Python",
        "",
        "Modules that people use or add to from outside, for whoever writes Python against "
        "`hemexp`. Signatures and words come from the code.",
    ]
    for title, modules in API.items():
        lines += ["", f"## {title}", *(f"\n::: {module}" for module in modules)]
    return "\n".join(lines) + "\n"
