"""Which module may import which."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gcnpose

PACKAGE = Path(__file__).resolve().parents[1] / "gcnpose"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A module imports from its own layer and from those above it in this list.
LAYERS = (
    ("errors", "files", "joint_weights", "memory", "pickles", "processes", "resources"),
    ("settings",),
    ("skeleton", "config"),
    ("keypoints",),  # before data, whose readers convert the joints of 2D that came with motion
    ("nn", "loss", "muon", "metrics", "data", "precision", "viz"),
    ("build",),
    ("checkpoint", "tracking"),
    ("training", "evaluation", "inference", "protocols", "published", "refinement", "report"),
    ("scoring",),
    ("run", "second_stage"),
    ("experiment", "results", "grid"),
    ("export", "benchmark", "commands", "cli"),
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}

# Slow to import, or not always there: only inside the functions that need them. The drawing modules import
# matplotlib right away and are themselves imported late.
LATE = (
    "mlflow",
    "matplotlib",
    "torch_scatter",
    "cdflib",
    "h5py",
    "imageio_ffmpeg",
    "onnx",
    "onnxruntime",
    "gcnpose.viz",
)


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part_of(path: Path) -> str:
    """``nn`` for nn/ugcn.py, ``loss`` for loss.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path: Path, node: ast.AST) -> list[str]:
    """Full dotted names that a statement imports, relative ones resolved; empty for other statements."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = [node.module] if node.module else []
        if node.level:
            module = [*path.relative_to(PACKAGE.parent).parts[: -node.level], *module]
        return [".".join([*module, alias.name]) for alias in node.names]
    return []


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from imported_names(path, node)


def imports_on_import(path: Path) -> Iterator[str]:
    """Those outside functions: run as soon as the module is imported."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        yield from imported_names(path, node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes.extend(ast.iter_child_nodes(node))


def parts_used(path: Path) -> set[str]:
    """Parts of the package that a module imports; a name taken from the package itself counts as a part."""
    return {imported.split(".")[1] for imported in imports(path) if imported.startswith("gcnpose.")}


def test_the_package_was_found() -> None:
    assert {"skeleton.py", "nn/ugcn.py", "cli.py"} <= {name(path) for path in MODULES}


@pytest.mark.parametrize("path", [path for path in MODULES if path != PACKAGE / "__init__.py"], ids=name)
def test_imports_go_one_way(path: Path) -> None:
    assert part_of(path) in LAYER_OF, "give the new part a place in LAYERS"
    highest = LAYER_OF[part_of(path)]
    not_allowed = {part for part in parts_used(path) if LAYER_OF.get(part, len(LAYERS)) > highest}
    assert not not_allowed, f"{name(path)} may not import {sorted(not_allowed)}"


def test_the_network_knows_neither_config_nor_data() -> None:
    network = [path for path in MODULES if part_of(path) == "nn"]
    assert network
    for path in network:
        assert not parts_used(path) & {"config", "data", "keypoints"}, name(path)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_slow_libraries_are_imported_late(path: Path) -> None:
    allowed = ("matplotlib", "gcnpose.viz") if part_of(path) == "viz" else ()
    late = tuple(f"{module}." for module in LATE if module not in allowed)
    early = [imported for imported in imports_on_import(path) if f"{imported}.".startswith(late)]
    assert not early, f"{name(path)} imports {early} at module level"


def test_a_command_that_only_helps_is_quick() -> None:
    """PyTorch takes seconds to import."""
    script = "import sys, gcnpose.cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=PACKAGE.parent)


@pytest.mark.parametrize("name", gcnpose.__all__)
def test_what_the_package_offers(name: str) -> None:
    assert getattr(gcnpose, name) is not None


def test_what_it_does_not_offer() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gcnpose' has no attribute 'nothing'$"):
        _ = gcnpose.nothing  # type: ignore[attr-defined]
