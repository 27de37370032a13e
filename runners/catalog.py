"""Finds algorithms by their files: a module of `agents` or `adversarial` with a Config, PRESETS and experiment().

Adding an algorithm is adding a file. Nothing is imported to find them: the syntax tree of each file tells.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

from sparring.envs.errors import UnknownNameError
from sparring.envs.worlds import ANY_OTHER, MODULES, WorldModule

FLOORS = ("agents", "adversarial")
MAKES_AN_ALGORITHM = {"Config", "PRESETS", "experiment"}


@dataclass(frozen=True)
class Entry:
    """An algorithm that was found."""

    name: str  # as on the command line: sb3-ppo for sb3_ppo.py
    module: str
    summary: str  # the first line of its docstring


def defined(tree: ast.Module) -> set[str]:
    """The names that a module defines at its top level."""
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return names | {target.id for target in assigned if isinstance(target, ast.Name)}


@functools.cache
def algorithms() -> Mapping[str, Entry]:
    """All algorithms by name."""
    return {entry.name: entry for floor in FLOORS for entry in _on_floor(floor)}


def _on_floor(floor: str) -> Iterator[Entry]:
    package = importlib.import_module(f"sparring.{floor}")
    for path in sorted(Path(folder) / file for folder in package.__path__ for file in Path(folder).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        if defined(tree) >= MAKES_AN_ALGORITHM:
            summary = (ast.get_docstring(tree) or path.stem).splitlines()[0].rstrip(".")
            yield Entry(path.stem.replace("_", "-"), f"sparring.{floor}.{path.stem}", summary)


def worlds() -> list[WorldModule]:
    """The modules of worlds, each with its WORLDS and PROTOCOLS."""
    return [importlib.import_module(name) for name in (*MODULES.values(), ANY_OTHER)]


def find(name: str) -> Entry:
    """The algorithm of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in algorithms():
        raise UnknownNameError("algorithm", name, algorithms())
    return algorithms()[name]


def load(name: str) -> ModuleType:
    """Import an algorithm's module."""
    return importlib.import_module(find(name).module)


class Hollow(MagicMock):
    """Stands in for a package: whatever is asked of it is hollow too, and what is named like a class is one."""

    def __getattr__(self, name: str) -> Any:
        if name[:1].isupper():
            return type(name, (), {})
        return super().__getattr__(name)


class HollowFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds nothing but hollow stand-ins for torch and its parts."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Only torch."""
        if fullname.split(".")[0] != "torch":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        """A stand-in."""
        return Hollow(name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


@contextmanager
def without_torch() -> Iterator[None]:
    """Let algorithms be imported for their Config and PRESETS without the second that torch takes.

    Inside, `import torch` yields a hollow stand-in and nothing may run; the modules that met it are forgotten at the
    end. Where torch is loaded already, nothing is replaced.
    """
    if "torch" in sys.modules:
        yield
        return
    before, finder = set(sys.modules), HollowFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("torch", "sparring"):
                del sys.modules[name]
                package, _, module = name.rpartition(".")
                if package in sys.modules:
                    vars(sys.modules[package]).pop(module, None)  # `from package import module` looks here first
