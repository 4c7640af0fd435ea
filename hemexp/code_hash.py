"""Hash of the code that a verb can reach, so that an edit reruns what it could change.

Snakemake does not see package edits behind `shell:`: every rule takes the hash of the module that
its verb runs as a param.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from hemexp.provenance import PACKAGE, hash_value

UNHASHED = ("settings", "layout.py")
"""The values of settings are params of their own, and paths are inputs and outputs of rules."""


def hash_code(*modules: str, package: Path = PACKAGE) -> str:
    """Hash of all code that some modules can reach, blind to comments, docstrings and format.

    Args:
        *modules: Such as `preprocess.strip`.
        package: Folder of the package.

    Returns:
        16 hex digits.
    """
    files = reached(*modules, package=package)
    return hash_value({str(path.relative_to(package)): _hash_syntax(path) for path in files})


def reached(*modules: str, package: Path = PACKAGE) -> set[Path]:
    """Files of the package that some modules can reach, through imports at any level.

    Raises:
        FileNotFoundError: There is no such module.
    """
    waiting = [package.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen and path.relative_to(package).parts[0] not in UNHASHED:
            seen.add(path)
            waiting += _imported_files(path, package)
    return seen


@cache
def _syntax(path: Path) -> ast.Module:
    """A module without its docstrings: those of constants, too, which Python throws away."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]
    return tree


def _is_text(line: ast.stmt) -> bool:
    value = line.value if isinstance(line, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@cache
def _imported_files(path: Path, package: Path) -> list[Path]:
    """Files of the package that a module imports, at top level or inside a function."""
    names: list[str] = []
    for node in ast.walk(_syntax(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    inside = [name.split(".")[1:] for name in names if name.startswith("hemexp.")]
    places = [package.joinpath(*parts) for parts in inside]
    files = [place.with_suffix(".py") for place in places]
    files += [place / "__init__.py" for place in places]
    return [path for path in files if path.is_file()]


@cache
def _hash_syntax(path: Path) -> str:
    return hashlib.sha256(ast.dump(_syntax(path)).encode()).hexdigest()[:16]
