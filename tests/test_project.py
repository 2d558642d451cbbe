"""The project files agree with each other and with the code."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gcnpose

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
OPTIONAL = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
PINS = [
    Requirement(line)
    for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
TOOLS = sorted((CHECKOUT / "tools").glob("*.py"))

# Where the name to import is not the name to install.
IMPORTED_AS = {"pyyaml": "yaml", "pillow": "PIL"}


def applies(requirement: Requirement, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"python_version": python})


def test_version() -> None:
    assert gcnpose.__version__ == PROJECT["version"]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_constraints_pin_every_dependency_once(python: str) -> None:
    for needed in NEEDED + OPTIONAL:
        if applies(needed, python):
            name = canonicalize_name(needed.name)
            (pin,) = [pin for pin in PINS if canonicalize_name(pin.name) == name and applies(pin, python)]
            (version,) = [specifier.version for specifier in pin.specifier if specifier.operator == "=="]
            assert needed.specifier.contains(version), f"{pin} is outside {needed}"


def test_constraints_pin_nothing_else() -> None:
    declared = {canonicalize_name(needed.name) for needed in NEEDED + OPTIONAL}
    assert {canonicalize_name(pin.name) for pin in PINS} == declared


def test_everything_imported_is_declared() -> None:
    """Not left to another library to bring in, nor to the development tools."""
    extras = [lines for name, lines in PROJECT["optional-dependencies"].items() if name != "dev"]
    optional = [Requirement(line) for lines in extras for line in lines]
    declared = {canonicalize_name(needed.name) for needed in NEEDED + optional}
    importable = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in declared}
    files = sorted((CHECKOUT / "gcnpose").rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            roots = {module.split(".")[0] for module in modules}
            unknown = roots - importable - sys.stdlib_module_names - {"gcnpose"}
            assert not unknown, f"{file.relative_to(CHECKOUT)}, line {node.lineno}: {unknown} is not declared"


def test_wheel_holds_every_package() -> None:
    folders = {file.parent for file in (CHECKOUT / "gcnpose").rglob("*.py")}
    packages = {".".join(folder.relative_to(CHECKOUT).parts) for folder in folders}
    moved = PYPROJECT["tool"]["setuptools"]["package-dir"]
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == packages | set(moved) | {"gcnpose.models"}
    assert list((CHECKOUT / "gcnpose" / "models").glob("*.safetensors"))
    for folder in moved.values():
        assert list((CHECKOUT / folder).glob("*.yaml")), f"{folder} holds no files for the wheel"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_tool_only_calls_its_subcommand(tool: Path) -> None:
    source = tool.read_text(encoding="utf-8")
    assert len([line for line in source.splitlines() if line.strip()]) <= 8
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imported} == {"import sys", "from gcnpose.cli import main"}
    assert f'"{tool.stem}"' in source, "the subcommand has the tool's name"


def test_tools_were_found() -> None:
    assert {"train.py", "evaluate.py", "benchmark.py"} <= {tool.name for tool in TOOLS}
