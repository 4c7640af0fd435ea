"""The documentation: what its pages say of themselves, and the site that is made of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mini import REPOSITORY

from hemexp.cli import ARGUMENTS, VERBS

for folder in ("benchmarks", "docs/tools"):
    sys.path.insert(0, str(REPOSITORY / folder))
try:
    from cli_page import cli_page, rooms_of_verbs
    from draw import digest, stale
    from hooks import nav_titles
    from links import Repository, rewrite_links
    from lists import indent_lists
    from readability import measure, pages, prose, sentences
    from rules import read_workflow, reduced
finally:
    del sys.path[:2]

PAGES = {page.relative_to(REPOSITORY).as_posix(): page for page in pages()}
STORY = re.compile(r"\b(?:[Ww]e|[Oo]urs?|[Ss]ince then|[Oo]nce again)\b|\bAgain, ")
"""Words of a story; pages say what is true today."""

MACHINE = re.compile(r"(?<![\w.~}])/(home|Users|root|work|tmp)/")
PLACES = {
    "config/README.md": "reference/sheet.md",
    "docs/how-to/slurm.md": "how-to/slurm.md",
    "docs/figures/demo.svg": "figures/demo.svg",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_easy_to_read(name):
    text = PAGES[name].read_text(encoding="utf-8")
    assert measure(text).median <= 20
    assert not STORY.findall(prose(text))
    assert not re.findall(r"!\[\s*\]", text), "a picture without words for who cannot see it"
    assert not MACHINE.findall(text)


def test_words_of_a_sentence_are_counted_without_code_tables_and_headings():
    text = """# A heading with many many words
Run `make demo` in 1, 2, 3, 4 or 5.5 mL. It ends. See [the page](a.md)!

| a table | of words |
```
code. More code.
```
- one item
- another item
  goes on: 3 mL
![a picture](b.svg)
"""
    found = sentences(text)
    assert found[:3] == ["Run code in 1, 2, 3, 4 or 5.5 mL.", "It ends.", "See the page!"]
    assert found[3:] == ["one item", "another item goes on: 3 mL"]
    assert measure(text) == (23, 5, 3.0, pytest.approx(8.4), 1)


def navigation(part):
    """Pages of the site's navigation, at any depth."""
    if isinstance(part, str):
        return [part]
    return [
        page
        for inner in (part.values() if isinstance(part, dict) else part)
        for page in navigation(inner)
    ]


def site_settings():
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"!!python\S+", "", text))


def test_every_page_stands_once_in_the_navigation():
    listed = navigation(site_settings()["nav"])
    below = [name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")]
    assert len(listed) == len(set(listed))
    assert set(below) <= set(listed)


def rewritten(text, source="README.md", page="index.md"):
    there = {*PLACES, "hemexp/cli.py", "config"}
    titles = {"how-to/slurm.md": "Run on Slurm"}
    return rewrite_links(text, source, page, Repository(PLACES, titles, there.__contains__))


def test_links_lead_to_pages_of_the_site():
    text = "[a](../config/README.md#x) ![b](figures/demo.svg) [c](https://x.org) [d](#e)"
    assert rewritten(text, "docs/a.md", "a.md") == text.replace(
        "../config/README.md#x", "reference/sheet.md#x"
    )
    text = '[`how`](../docs/how-to/slurm.md "on Slurm")'
    assert rewritten(text, "config/README.md", "reference/sheet.md") == (
        '[`how`](../how-to/slurm.md "on Slurm")'
    )


def test_a_link_that_is_called_like_its_file_is_called_like_the_page():
    assert rewritten("[`docs/how-to/slurm.md`](docs/how-to/slurm.md#a), [slurm](a.md)") == (
        "[Run on Slurm](how-to/slurm.md#a), [slurm](a.md)"
    )
    assert rewritten("[slurm.md](docs/how-to/slurm.md)") == "[Run on Slurm](how-to/slurm.md)"
    nav = ["index.md", {"A": [{"B": "b.md"}, {"C": [{"D": "d.md"}]}]}]
    assert dict(nav_titles(nav)) == {"b.md": "B", "d.md": "D"}


def test_a_link_to_what_is_no_page_becomes_code():
    assert rewritten("see [the code](hemexp/cli.py)") == "see `the code`"
    assert rewritten("see [`cli.py`](hemexp/cli.py#L1), [b](config)") == "see `cli.py`, `b`"


def test_a_link_to_what_is_not_there_stays_to_be_refused():
    assert rewritten("[a](docs/gone.md)") == "[a](docs/gone.md)"


def test_links_within_code_stay():
    text = (
        "`[a](config)` and ``x ` [a](config)``\n```\n[a](config)\n```\n    ~~~\n[a](b)\n    ~~~\n"
    )
    assert rewritten(text) == text
    assert rewritten(text + "[a](config)") == text + "`a`"


def test_lists_become_those_of_python_markdown():
    text = "Steps:\n1. one\n   goes on\n   - deep\n     ```\n     code\n       in\n     ```\n"
    text += "2. two\n\nEnd"
    assert indent_lists(text).splitlines() == [
        *("Steps:", "", "1. one", "    goes on", "    - deep"),
        *("        ```", "        code", "          in", "        ```", "2. two", "", "End"),
    ]
    text = "```\n- no list\n```\n| a |\n"
    assert indent_lists(text) == text
    assert indent_lists("- a\n\n  b\n\nc") == "- a\n\n    b\n\nc\n"


def test_the_page_of_commands_holds_every_verb_and_option():
    page = cli_page()
    rooms = rooms_of_verbs()
    assert rooms["strip-skull"] == "preprocess" and "predict" not in rooms
    for verb in VERBS:
        assert (f"\n| `{verb}` |" if verb in rooms else f"\n### {verb}\n") in page
    assert f"| `--seed N` | {ARGUMENTS['seed']['help']} | `1` |" in page
    assert "hemexp new-center FOLDER --center NAME --out PATH\n" in page
    assert "| `FILE` | any product of a run | needed |" in page


def test_arrows_that_follow_from_others_are_left_out():
    arrows = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}
    assert reduced(arrows) == {("a", "b"), ("b", "c"), ("c", "d")}
    assert digest("a") != digest("b")


@pytest.mark.slow
def test_the_page_of_the_architecture_is_not_stale():
    assert not stale(read_workflow()), "run `make figures` (needs graphviz)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: links and anchors hold, every page is in the navigation."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


LOADED = re.compile(
    r"<(?:script|img|source|iframe|audio|video|embed)\b[^>]*\ssrc=[\"']?([^\"' >]+)"
)
STYLED = re.compile(r"<link\b[^>]*\shref=[\"']?([^\"' >]+)")


@pytest.mark.slow
def test_no_page_of_the_site_asks_another_machine(site):
    found = sorted(site.rglob("*.html"))
    assert {"index.html", "reference/cli.html", "reference/api.html"} <= {
        page.relative_to(site).as_posix() for page in found
    }
    for page in found:
        text = page.read_text(encoding="utf-8")
        asked = [*LOADED.findall(text), *STYLED.findall(text)]
        assert asked and not [url for url in asked if re.match(r"[a-z]+:(?!image)|//", url)], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//|@import", sheet.read_text("utf-8"))


@pytest.mark.slow
def test_pages_of_the_site_are_made_from_what_stands_elsewhere(site):
    def text(page):
        return Path(site, page).read_text(encoding="utf-8")

    assert "patient_id" in text("reference/sheet.html")
    assert "hemexp.expansion.distribution" in text("reference/api.html")
    assert 'id="for-people"' in text("reference/cli.html")
    assert 'href="reference/sheet.html' in text("index.html")
