"""Every benchmark finds what it imports: some run for minutes, and no other test starts them."""

import subprocess
import sys

from mini import REPOSITORY

IMPORT_ALL = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


def test_every_benchmark_finds_what_it_imports():
    folder = REPOSITORY / "benchmarks"
    names = sorted(path.stem for path in folder.glob("*.py"))
    command = [sys.executable, "-c", IMPORT_ALL, *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert names and not done.returncode, done.stderr
