"""The shape of the house, read from the syntax tree: who may know whom (`house.py`)."""

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from house import CROSSINGS, GROUND, ROOMS, TOP

import hemexp
from hemexp.cli import VERBS
from hemexp.code_hash import hash_code
from hemexp.release.models import MODEL_PARTS, SEGMENTER
from hemexp.reporting.catalogue import figure_modules, table_modules

PACKAGE = Path(hemexp.__file__).parent
REPOSITORY = PACKAGE.parent
TORCH_ROOMS = {
    *("training", "compiling", "prefetch", "processes", "monai_parts"),
    *("segmentation", "autoencoder", "latents", "diffusion", "sampling"),
}


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


def test_no_module_speaks_to_the_network():
    """`SECURITY.md` says so. (Several processes of one training speak through torch.)"""
    network = {
        "socket",
        "ssl",
        "urllib",
        "http",
        "ftplib",
        "smtplib",
        "requests",
        "aiohttp",
        "httpx",
    }
    found = {name.split(".")[0] for path in PACKAGE.rglob("*.py") for name in imports(path)}
    assert "json" in found and not found & (network | {"huggingface_hub", "fsspec", "webbrowser"})


def test_a_room_has_one_name_everywhere():
    rules = {path.stem for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")}
    assert rules == {*ROOMS, "common", "ablations"}
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == {*ROOMS, "settings", "statistics", "anatomy", "release", "desk", "verbs"}
    from hemexp.settings import Settings

    assert set(ROOMS) <= set(Settings.model_fields)


def test_every_rule_that_runs_something_calls_a_verb_of_its_name(rules):
    for name, rule in rules.items():
        verb = rule.command.split("python -m hemexp ")[1].split()[0]
        assert verb in VERBS, f"rule {name} calls {verb}"
        assert verb.replace("-", "_").removesuffix("s") == name.removesuffix("s")
        assert rule.log and rule.benchmark and rule.conda, name
        assert "code" in rule.params and {"mem_mb", "runtime"} <= set(rule.resources[0]), name


HANDED_ON = {
    "write-tables": table_modules(),
    "draw-figures": figure_modules(),
    **{f"adopt-{part}": ["release.adopt"] for part in (*MODEL_PARTS, SEGMENTER)},
}
"""What a verb runs beyond the modules that it imports itself."""


def modules_run_by(verb):
    """Modules of rooms that a verb's function imports."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(VERBS[verb].run)))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    inside = {name.removeprefix("hemexp.") for name in found if name.startswith("hemexp.")}
    in_rooms = {name for name in inside if name.split(".")[0] in {*ROOMS, "desk", "release"}}
    # `draw-figures` asks it for names alone: captions stand in no figure.
    in_rooms -= {"reporting.catalogue"}
    return [*in_rooms, *HANDED_ON.get(verb, ())]


def test_every_rule_hashes_what_its_verb_runs(rules):
    for name, rule in rules.items():
        verb = rule.command.split("python -m hemexp ")[1].split()[0]
        assert modules_run_by(verb), f"{verb} runs nothing"
        assert rule.params["code"] == hash_code(*modules_run_by(verb)), name


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
        "folder = pathlib.Path(room.__path__[0])\n"
        "for path in folder.rglob('*.py'):\n"
        "    parts = path.relative_to(folder).with_suffix('').parts\n"
        "    importlib.import_module('.'.join(('hemexp.preprocess', *parts)))\n"
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


def test_every_job_reads_the_rules_without_heavy_libraries():
    rules = (REPOSITORY / "workflow" / "rules").glob("*.smk")
    lines = [line for path in rules for line in path.read_text().splitlines()]
    needed = [line for line in lines if line.startswith("from hemexp")]
    code = "\n".join(
        [*needed, "import sys", f"print(sorted({HEAVY | {'scipy'}} & set(sys.modules)))"]
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert len(needed) > 10 and done.stdout.strip() == "[]"
