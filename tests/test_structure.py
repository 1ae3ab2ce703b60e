"""Tests of the architecture: allowed imports, packaged files, and one test file per module."""

import ast
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_keras

ROOT = Path(__file__).parents[1]
LAYERS = (
    "cli",
    "export",
    "training",
    "inference",
    "explain",
    "evaluation",
    "reports",
    "predictors",
    "phantoms",
    "model",
    "data.open",
    "data.cache data.readers",
    "data.splits",
    "data.image_files data.image_paths",
    "data.ages data.equal_images data.label_columns",
    "data.tables data.label_counts",
    "data.batches",
    "data.dataset",
    "images",
    "run_dir",
    "devices presets",
    "config",
    "storage parallel findings settings allowance errors",
)
"""From top to bottom. A module imports from its own layer and from those below it."""
MODULES = {
    ".".join(("mamsf_keras", *path.relative_to(ROOT / "mamsf_keras").with_suffix("").parts)): path
    for path in (ROOT / "mamsf_keras").rglob("*.py")
    if path.name != "__init__.py"
} | {f"mamsf_keras.cli.{path.stem}": path for path in (ROOT / "cli").glob("*.py") if path.name != "__init__.py"}
"""Name and file of every module that is not only the docstring of a package."""


def layer_of(module: str) -> int:
    name = module.removeprefix("mamsf_keras.")
    for number, packages in enumerate(LAYERS):
        if any(name == package or name.startswith(f"{package}.") for package in packages.split()):
            return number
    raise AssertionError(f"{module} is in no layer")


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_from_lower_layers(module):
    for imported in imports_of(MODULES[module]):
        assert layer_of(imported) >= layer_of(module), f"{module} imports {imported}, which is above it"


def test_no_circular_imports():
    above = {}
    remaining = {module: imports_of(path) - {module} for module, path in MODULES.items()}
    while remaining:
        leaves = [module for module, imported in remaining.items() if not imported & set(remaining)]
        assert leaves, f"a circle among {', '.join(remaining)}"
        above |= {module: remaining.pop(module) for module in leaves}
    assert len(above) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_of_its_name(module):
    *folders, name = module.removeprefix("mamsf_keras.").split(".")
    assert ROOT.joinpath("tests", *folders, f"test_{name}.py").is_file()


def test_all_packages_are_installed():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "mamsf_keras").rglob("__init__.py")]
    assert packages == sorted(["mamsf_keras.cli", *(".".join(folder.parts) for folder in folders)])


def test_all_data_files_are_installed():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    tracked = {
        path for path in (ROOT / "mamsf_keras").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    listed = {
        path
        for package, names in patterns.items()
        for name in names
        for path in ROOT.joinpath(*package.split(".")).glob(name)
    }
    assert tracked == listed and ROOT / "mamsf_keras" / "reports" / "published.json" in listed
