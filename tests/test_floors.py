"""The floors stand in one order, each speaks its own language, and nobody imports the tests: an AST walk tells.

runners > adversarial > agents > envs
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("envs", "agents", "adversarial", "runners")  # lowest first: a floor imports itself and what is below
RUNNERS_ONLY = {"wandb", "ray", "tyro", "typer", "click", "rich", "argparse", "optparse", "getopt"}
LEARNERS_ONLY = {"torch", "stable_baselines3", "sb3_contrib"}
FOREIGN = {
    "envs": RUNNERS_ONLY | LEARNERS_ONLY,
    "agents": RUNNERS_ONLY,
    "adversarial": RUNNERS_ONLY,
    "runners": set(),
}
MODULE_IN_A_STRING = re.compile(r"sparring(\.\w+)+(:\w+)?")
DRAWERS = {"utils.py", "util.py", "common.py", "helpers.py", "helper.py", "misc.py"}  # where anything ends up


def violations(source, floor):
    """What a module of `floor` must not say, one line each."""
    return [f"{line}: {what}" for line, name in imported(ast.parse(source)) if (what := wrong(name, floor))]


def imported(tree):
    """(line, dotted name) of all that a module imports, inside functions too, and of modules named in strings."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module="sparring", level=0, names=names):
                yield from ((node.lineno, f"sparring.{alias.name}") for alias in names)
            case ast.ImportFrom(module=module, level=level):
                yield node.lineno, "." * level + (module or "")
            case ast.Constant(value=str(text)) if MODULE_IN_A_STRING.fullmatch(text):
                yield node.lineno, text.partition(":")[0]
            case ast.Attribute(value=ast.Name(id="sys"), attr="argv"):
                yield node.lineno, "sys.argv"


def wrong(name, floor):
    """Why a module of `floor` must not import `name`; empty where it may."""
    top, _, rest = name.partition(".")
    below = rest.split(".")[0]
    if name.startswith("."):
        return f"relative import {name}"
    if top in (*FLOORS, "tests"):
        return f"imports {name}, which is no part of sparring.*"
    if top == "sparring" and (below not in FLOORS or FLOORS.index(below) > FLOORS.index(floor)):
        return f"{floor} imports {name}, which is not below it"
    if top in FOREIGN[floor] or (name == "sys.argv" and floor != "runners"):
        return f"{floor} does not speak {name}"
    return ""


def modules():
    return [
        pytest.param(path, id=str(path.relative_to(ROOT))) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")
    ]


@pytest.mark.parametrize("path", modules())
def test_every_module_keeps_to_its_floor(path):
    assert violations(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[0]) == []


@pytest.mark.parametrize(
    ("floor", "source", "found"),
    [
        ("envs", "import sparring.agents.ppo", "1: envs imports sparring.agents.ppo, which is not below it"),
        ("envs", "from sparring import runners", "1: envs imports sparring.runners, which is not below it"),
        (
            "agents",
            "from sparring.adversarial import game",
            "1: agents imports sparring.adversarial, which is not below it",
        ),
        (
            "agents",
            "import numpy\nx = 'sparring.runners.cli'",
            "2: agents imports sparring.runners.cli, which is not below it",
        ),
        ("envs", "E = 'sparring.agents.ppo:PPO'", "1: envs imports sparring.agents.ppo, which is not below it"),
        ("runners", "from sparring.tests import x", "1: runners imports sparring.tests, which is not below it"),
        ("runners", "from tests.test_floors import x", "1: imports tests.test_floors, which is no part of sparring.*"),
        ("runners", "import agents.ppo", "1: imports agents.ppo, which is no part of sparring.*"),
        ("agents", "from .returns import gae", "1: relative import .returns"),
        ("agents", "from . import returns", "1: relative import ."),
        ("envs", "def act():\n    import torch.nn", "2: envs does not speak torch.nn"),
        ("envs", "from torch import Tensor", "1: envs does not speak torch"),
        ("agents", "import numpy, wandb", "1: agents does not speak wandb"),
        ("agents", "if TYPE_CHECKING:\n    from rich.console import Console", "2: agents does not speak rich.console"),
        ("adversarial", "import tyro", "1: adversarial does not speak tyro"),
        ("adversarial", "from ray import get", "1: adversarial does not speak ray"),
        ("agents", "import sys\nprint(sys.argv)", "2: agents does not speak sys.argv"),
        ("adversarial", "import argparse", "1: adversarial does not speak argparse"),
    ],
)
def test_a_planted_violation_is_caught(floor, source, found):
    assert violations(source, floor) == [found]


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("envs", '"""Not imported by `sparring.agents`."""\nimport gymnasium\nfrom sparring.envs import worlds'),
        ("agents", "import torch\nfrom sparring.envs.worlds import World\nfrom sparring.agents import returns"),
        ("adversarial", "import torch\nfrom sparring.agents import networks"),
        ("runners", "import sys, tyro, wandb, torch\nfrom sparring.adversarial import game\nprint(sys.argv)"),
    ],
)
def test_what_a_floor_may_say_is_no_violation(floor, source):
    assert violations(source, floor) == []


def test_no_module_is_a_drawer():
    found = {str(path.relative_to(ROOT)) for floor in (*FLOORS, "tests") for path in (ROOT / floor).rglob("*.py")}
    assert {path for path in found if Path(path).name in DRAWERS} == set()


def test_nobody_else_imports_the_tests():
    scripts = [*ROOT.glob("benchmarks/**/*.py"), ROOT / "setup.py"]
    names = {name for path in scripts for _, name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert {name for name in names if name.split(".")[0] == "tests"} == set()


def test_importing_a_floor_imports_neither_its_modules_nor_torch():
    """One algorithm must not cost ten, and `sparring --help` must not cost torch."""
    script = """
import sys
import sparring.agents, sparring.adversarial, sparring.runners
print(*sorted(name for name in sys.modules if name.startswith("sparring.") or name in ("torch", "gymnasium", "wandb")))
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["sparring.adversarial", "sparring.agents", "sparring.runners"]
