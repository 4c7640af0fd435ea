"""Photographs pages of a finished demo for the documentation.

    python docs/tools/photograph.py results

Needs Playwright and the system's Chromium. Each picture is WebP inside an SVG in `docs/figures`.
"""

import base64
import io
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from hemexp.layout import Layout

FIGURES = Path(__file__).parents[1] / "figures"
WIDTH = 1180
"""Of the window in pixels: the pages' tables stand in it without scrolling."""

QUALITY = 70
"""Of WebP: text stays sharp, and a picture below 150 kB."""


class Picture(NamedTuple):
    """What is photographed.

    Attributes:
        page: The file.
        title: Of the picture.
        height: In pixels.
        width: In pixels.
        first: Selector of what stands at the top; the page's own top where empty.
    """

    page: Path
    title: str
    height: int
    width: int = WIDTH
    first: str = ""


def pictures(results: Path) -> dict[str, Picture]:
    """Pictures of a demo by the name of their file."""
    run = Layout(results)
    return {
        "report_index": Picture(run.report, "The report of the demo", 880),
        "patient_page": Picture(run.patient_page("D06"), "A patient of the demo", 1270),
        "qc_page": Picture(run.qc_page, "The page of quality of the demo", 1010),
        "what_if": Picture(
            run.patient_page("D01"),
            "What-ifs of a patient of the demo",
            470,
            590,
            "text=/^What if$/",
        ),
    }


def photograph(page: Page, picture: Picture) -> bytes:
    """A picture as WebP."""
    page.goto(picture.page.resolve().as_uri())
    page.wait_for_load_state("networkidle")
    if picture.page.stem.startswith("sub-"):
        page.wait_for_selector("#viewer[data-ready=yes]")
    box = page.locator(picture.first).first.bounding_box() if picture.first else None
    clip = {"x": 0, "y": box["y"] if box else 0, "width": picture.width, "height": picture.height}
    png = page.screenshot(full_page=True, clip=clip)
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "WEBP", quality=QUALITY, method=6)
    return out.getvalue()


def write_svg(path: Path, picture: Picture, webp: bytes) -> None:
    """Puts WebP into an SVG: text, with a title for who cannot see it."""
    size = f'width="{picture.width}" height="{picture.height}"'
    data = base64.b64encode(webp).decode()
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {picture.width} {picture.height}"><title>{picture.title}</title>'
        f'<image {size} href="data:image/webp;base64,{data}"/></svg>\n'
    )


def main(results: Path) -> None:
    """Writes every picture."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
        for name, picture in pictures(results).items():
            write_svg(FIGURES / f"{name}.svg", picture, photograph(page, picture))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
