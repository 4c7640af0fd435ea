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


def hash_code(*modules: str) -> str:
    """Hash of all code that some modules can reach, blind to comments, docstrings and format.

    Args:
        *modules: Such as `preprocess.strip`.

    Returns:
        16 hex digits.
    """
    digests = {str(path.relative_to(PACKAGE)): _hash_syntax(path) for path in reached(*modules)}
    return hash_value(digests)


def reached(*modules: str) -> set[Path]:
    """Files of the package that some modules can reach, through imports at any level.

    Raises:
        FileNotFoundError: There is no such module.
    """
    waiting = [PACKAGE.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen and path.relative_to(PACKAGE).parts[0] not in UNHASHED:
            seen.add(path)
            waiting += _imported_files(path)
    return seen


@cache
def _syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imported_files(path: Path) -> list[Path]:
    """Files of the package that a module imports, at top level or inside a function."""
    names: list[str] = []
    for node in ast.walk(_syntax(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    inside = [
        PACKAGE.joinpath(*name.split(".")[1:]) for name in names if name.startswith("hemexp.")
    ]
    files = [path.with_suffix(".py") for path in inside] + [
        path / "__init__.py" for path in inside
    ]
    return [path for path in files if path.is_file()]


@cache
def _hash_syntax(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
