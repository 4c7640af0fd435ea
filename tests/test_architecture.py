"""The shape of the house, read from the syntax tree: who may know whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hemexp

PACKAGE = Path(hemexp.__file__).parent
REPOSITORY = PACKAGE.parent
ROOMS = (
    "phantom",
    "preprocess",
    "autoencoder",
    "latents",
    "expansion",
    "diffusion",
    "sampling",
    "evaluation",
    "reporting",
)
GROUND = (
    "settings",
    "config",
    "sheet",
    "sheet_faults",
    "ranges",
    "cohort",
    "outcomes",
    "volumes",
    "image_header",
    "provenance",
    "training",
    "processes",
    "layout",
    "columns",
    "tables",
    "grid_scan",
    "code_hash",
    "what_if_cases",
    "html",
    "notice",
    "statistics",
    "anatomy",
)
TOP = ("cli", "verbs", "desk", "release")
"""They call rooms; no room and no ground may know them. `desk` is what a person calls outside the
workflow, `release` what trained models are handed on as."""

# Every crossing between rooms; what is not listed here happens through files.
CROSSINGS = {
    "latents": {"autoencoder"},
    "diffusion": {"latents"},
    "sampling": {"preprocess", "autoencoder", "latents", "expansion", "diffusion"},
    "evaluation": {"preprocess"},
    "reporting": {"evaluation"},
}
TORCH_ROOMS = {"training", "processes", "autoencoder", "latents", "diffusion", "sampling"}


def modules(part):
    path = PACKAGE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports(path):
    """Every module name a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def reached(part):
    return {
        name.split(".")[1]
        for path in modules(part)
        for name in imports(path)
        if name.startswith("hemexp.")
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_ground_floor_and_its_listed_neighbours_only(room):
    neighbours = CROSSINGS.get(room, set())
    assert all(ROOMS.index(other) < ROOMS.index(room) for other in neighbours)
    inside = {path.stem for path in PACKAGE.glob("*.py")} | set(ROOMS)
    assert reached(room) & inside <= {room, *GROUND, "Fault", "HemexpError"} | neighbours


@pytest.mark.parametrize("ground", GROUND)
def test_the_ground_floor_knows_no_room(ground):
    assert not reached(ground) & {*ROOMS, *TOP}


@pytest.mark.parametrize("part", [*ROOMS, *GROUND])
def test_heavy_libraries_stay_in_their_rooms(part):
    found = {name.split(".")[0] for path in modules(part) for name in imports(path)}
    assert not found & {"snakemake", "dvc"}
    assert part in TORCH_ROOMS or not found & {"torch", "monai", "safetensors"}
    assert part == "reporting" or "matplotlib" not in found


def test_a_room_has_one_name_everywhere():
    rules = {path.stem for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")}
    assert rules == {*ROOMS, "common", "ablations"}
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == {*ROOMS, "settings", "statistics", "anatomy", "release", "desk", "verbs"}
    from hemexp.settings import Settings

    assert set(ROOMS) <= set(Settings.model_fields)


def test_every_rule_that_runs_something_calls_a_verb_of_its_name():
    from hemexp.cli import VERBS

    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        for block in re.split(r"\n *(?:rule|checkpoint) ", path.read_text())[1:]:
            name = block.split(":")[0]
            if "shell:" not in block:
                continue
            verb = block.split("python -m hemexp ")[1].split()[0]
            assert verb in VERBS, f"{path.name}: rule {name} calls {verb}"
            assert verb.replace("-", "_").removesuffix("s") == name.removesuffix("s")
            for word in ("log:", "benchmark:", "conda:", "mem_mb=", "runtime=", "code=hash_code"):
                assert word in block, f"{path.name}: rule {name} has no {word}"


HEAVY = {"torch", "monai", "sklearn", "matplotlib"}
ONE_SCAN = ("strip-skull", "register-followup", "resample-scan")


@pytest.mark.parametrize("verb", ["", "check", *ONE_SCAN, "collect-qc", "draw-patient"])
def test_light_verbs_start_without_heavy_libraries(verb):
    code = (
        "import sys\n"
        "from hemexp.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *([verb] if verb else []), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "usage: hemexp" in done.stdout


def test_the_whole_preprocess_room_loads_without_heavy_libraries():
    code = (
        "import importlib, pathlib, sys, hemexp.preprocess as room\n"
        "for path in pathlib.Path(room.__path__[0]).glob('*.py'):\n"
        "    importlib.import_module(f'hemexp.preprocess.{path.stem}')\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", ONE_SCAN)
def test_the_jobs_of_one_scan_load_no_more_than_they_need(verb):
    """They are thousands: pandas would be a quarter of their start, SimpleITK a tenth."""
    module = f"hemexp.preprocess.{verb.split('-')[0]}"
    code = (
        f"import sys, hemexp.cli, {module}\n"
        "print(sorted({'pandas', 'SimpleITK'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == str([] if verb == "strip-skull" else ["SimpleITK"])
