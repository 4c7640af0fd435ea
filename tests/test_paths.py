"""Code, run and raw scans in folders of any name: spaces, umlauts, signs, links, `..`."""

import shutil

import pytest
from mini import REPOSITORY, jobs, mini_rows, snakemake, write_sheet
from tiny_head import head, places, write_head

from hemexp.columns import IMAGES
from hemexp.preprocess.rows import read_row

pytestmark = pytest.mark.slow

CODE = ("Snakefile", "workflow", "hemexp", "config", "docs", "envs", "profiles")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the code in a folder with a space and an umlaut."""
    folder = tmp_path_factory.mktemp("paths") / "a folder with ü" / "it's hemexp"
    folder.mkdir(parents=True)
    for name in CODE:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def test_the_whole_workflow_is_planned_in_any_folder(checkout, tmp_path):
    out = write_sheet(mini_rows(), tmp_path / "OUT dir")
    planned = jobs(snakemake(out, "--dry-run", repository=checkout))
    assert planned["strip_skull"] == 17 and planned["write_report"] == 1


def test_raw_scans_behind_a_link_are_read_and_nothing_is_written_beside_them(checkout, tmp_path):
    raw = tmp_path / "Köln {raw}, no. 1"
    raw.mkdir()
    files = write_head(raw)
    (tmp_path / "link to raw").symlink_to(raw)
    for path in (*files.values(), raw):
        path.chmod(path.stat().st_mode & 0o555)
    before = sorted(path.name for path in raw.iterdir()), raw.stat().st_mtime_ns
    rows = mini_rows()
    row = rows["patient_id"] == "D09"
    for image in IMAGES:
        rows.loc[row, f"baseline_{image}"] = f"../../OUT dir/../link to raw/{image}.nii.gz"
    out = write_sheet(rows, tmp_path / "OUT dir")
    wanted = "results/preprocess/sub-D09/sub-D09_ses-baseline_space-native_volumes.tsv"
    snakemake(out, "--cores", "1", "--", wanted, repository=checkout)
    iph_ml = head(places())[1].sum() * 4.5 * 4.4 * 7.0 / 1000
    assert read_row(out / wanted, "D09")["iph_ml"] == pytest.approx(iph_ml)
    assert (sorted(path.name for path in raw.iterdir()), raw.stat().st_mtime_ns) == before
