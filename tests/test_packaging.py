"""What is shipped is the four floors and nothing else; what is committed names no machine."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FLOORS = ("adversarial", "agents", "envs", "runners")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
TOP = {
    *FLOORS,
    *("tests", "benchmarks", "docs"),
    *("pyproject.toml", "setup.py", "constraints.txt", "Makefile", "README.md", "CHANGELOG.md", "LICENSE"),
    *(".typing", ".ci", ".gitignore", ".gitattributes", ".github"),
}
A_MACHINE = re.compile(
    # No letter, digit or dot before it: https://example.com/work/ is no path.
    rb"(?<![\w.])/(" + b"|".join([rb"work", rb"root", rb"home/\w+", rb"Users/\w+", rb"tmp/v\w*"]) + rb")/"
)
A_REGISTRY = re.compile(rb"(--|PIP_)?(extra[-_])?index[-_]url\b|find[-_]links|/simpl[e]\b", re.IGNORECASE)


def committed():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel that was built from a copy of the tree, without a network."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("out")
    for name in (*FLOORS, "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    quiet = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *quiet, "--wheel-dir", out, tree], check=True)
    [path] = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_floors_and_nothing_else(wheel):
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*") if path.is_file()]
    sources = [path for path in files if "__pycache__" not in path.parts and path.name[0] != "."]
    shown = {f"sparring/{path.relative_to(ROOT)}" for path in sources}
    assert {name for name in wheel if ".dist-info/" not in name} == shown
    assert {"sparring/agents/ppo.py", "sparring/runners/cli.py"} < shown


def test_the_wheel_tells_type_checkers_that_every_floor_is_typed(wheel):
    assert {f"sparring/{floor}/py.typed" for floor in FLOORS} <= wheel


def test_the_wheel_carries_the_licence_and_the_command(wheel):
    info = {name.partition(".dist-info/")[2] for name in wheel if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= info


def test_every_folder_with_modules_is_a_package():
    """Without `__init__.py` it would import here, and be missing from the wheel."""
    folders = {path.parent for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_type_checkers_find_every_floor_under_its_import_name(floor):
    link = ROOT / ".typing" / "sparring" / floor
    assert link.is_symlink()
    assert link.resolve() == ROOT / floor
    assert not Path(os.readlink(link)).is_absolute()


def test_the_repository_has_no_other_top_level_entries():
    assert {name.split("/")[0] for name in committed()} - TOP == set()


def pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def declared():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_constraints_pin_every_declared_dependency_to_a_version_that_it_allows(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_constraints_pin_the_tested_torch_without_naming_a_build():
    assert pins()["torch"] == "2.13.0"


def test_the_dependencies_are_those_that_were_promised():
    """The card's packages, and pytest where developers get it."""
    always = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert {"gymnasium", "ale-py", "torch", "stable-baselines3", "wandb"} <= always
    assert "pytest" in {Requirement(line).name for line in PROJECT["optional-dependencies"]["dev"]}
    assert PROJECT["requires-python"] == ">=3.11"
    assert PROJECT["license"] == "MIT"


OTHERWISE = {
    "sklearn": "scikit_learn",
    "pygame": "gymnasium",
    "PIL": "pillow",
}  # imported by another name than it is asked for by


def test_everything_that_the_floors_import_is_declared():
    """A package that only comes along with another one goes away with it."""
    sources = [path.read_text(encoding="utf-8") for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    found = {name.partition(".")[0] for name in names}
    ours = {canonicalize_name(Requirement(line).name).replace("-", "_") for line in PROJECT["dependencies"]}
    assert found - ours - set(sys.stdlib_module_names) - OTHERWISE.keys() == {"sparring"}
    assert {*OTHERWISE.values()} <= ours


def test_no_committed_file_names_a_machine_or_a_registry():
    said = {name: (ROOT / name).read_bytes() for name in committed() if (ROOT / name).is_file()}
    assert {name: machine[0] for name, text in said.items() if (machine := A_MACHINE.search(text))} == {}
    assert {name: registry[0] for name, text in said.items() if (registry := A_REGISTRY.search(text))} == {}


@pytest.mark.parametrize("machine", ["work", "root", "home/somebody", "tmp/v1"])
def test_a_machine_that_is_named_would_be_seen(machine):
    assert A_MACHINE.search(f"run = '/{machine}/main'".encode())
    assert not A_MACHINE.search(f"see https://example.com/{machine}/main".encode())


@pytest.mark.parametrize("words", ["pip install --index*url X", "extra_index*url = X", "https://example.com*simple/"])
def test_a_registry_that_is_named_would_be_seen(words):
    """The words are written so that this file passes too."""
    assert any(A_REGISTRY.search(words.replace("*", sign).encode()) for sign in "-_/")
