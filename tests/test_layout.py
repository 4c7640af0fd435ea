"""Paths below `results/` stand in one module."""

import ast
import re
from pathlib import Path

import pytest
from mini import REPOSITORY

from hemexp.layout import Layout

PACKAGE = REPOSITORY / "hemexp"
PATH = re.compile(
    r"""(results|phantom|preprocess|cohort|autoencoder|latents|expansion|diffusion|samples
         |evaluation|tables|figures|report|ablations|logs|benchmarks)/\S*
        |\S*\.(tsv|csv|nii\.gz|safetensors|ckpt|tfm|svg)|sub-\S*|\S*(space|desc)-\S*""",
    re.VERBOSE,
)
"""A text that is a path, or a part of one, of what a run leaves behind."""

ELSEWHERE = {
    "tables.py": {".csv"},
    "cli.py": {"config/samples.tsv"},
    "made_masks.py": {"accepted_masks.tsv"},
    "desk/side_run.py": {"samples.tsv", "config/samples.tsv"},
    "desk/compare_tables.py": {".tsv", ".csv"},
    "release/models.py": {"recalibration.tsv"},
    "reporting/checklists/__init__.py": {".tsv"},
    "reporting/report/contents.py": {"columns.tsv"},
    "reporting/patient/texts.py": {"texts.tsv"},
    "preprocess/synthstrip.py": {"ct.nii.gz", "mask.nii.gz"},
    "segmentation/command.py": {"scan_0000.nii.gz", "labels.nii.gz", ".nii.gz"},
}
"""Not below `results/`."""


def literals(path):
    """Texts of a module that is no docstring, and parts of its f-strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in words
        ):
            yield node.value


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "layout.py"],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_no_module_but_the_layout_spells_a_path_of_the_results(path):
    name = path.relative_to(PACKAGE).as_posix()
    found = {text for text in literals(path) if PATH.fullmatch(text)}
    assert found <= ELSEWHERE.get(name, set())


@pytest.mark.parametrize("path", [REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/rules/*")])
def test_no_rule_spells_a_path_of_the_results(path):
    assert "results/" not in path.read_text(encoding="utf-8")


def test_a_pattern_is_the_path_of_every_patient():
    layout = Layout(Path("results"))
    pattern = str(layout.grid("{patient}", "{session}").iph)
    assert pattern.format(patient="P1", session="baseline") == str(
        layout.grid("P1", "baseline").iph
    )
    assert pattern == (
        "results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_desc-iph_mask.nii.gz"
    )


def test_no_two_products_share_a_file():
    layout = Layout(Path("results"))
    scans = [
        *layout.native("P1", "baseline"),
        *layout.grid("P1", "baseline"),
        *layout.pair("P1"),
        *layout.raw("P1", "baseline"),
        *layout.network("autoencoder"),
        *layout.network("diffusion"),
        *layout.sample("P1", 0),
        layout.sample_volumes("P1"),
    ]
    single = [
        getattr(layout, name)
        for name, member in vars(Layout).items()
        if isinstance(member, property)
    ]
    of_patient = [
        getattr(layout, name)("P1")
        for name in ("truth", "latents", "reconstruction", "features", "pooled_map", "true_map")
    ]
    of_patient += [
        getattr(layout, name)("P1") for name in ("redraws", "scores", "map_sums", "consistency")
    ]
    paths = [*scans, *single, *of_patient]
    assert len(set(paths)) == len(paths)
