"""Map the top-level folders to sparring.*; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

FLOORS = ["agents", "envs", "adversarial", "runners"]
FOUND = find_packages(include=[name for floor in FLOORS for name in (floor, f"{floor}.*")])

setup(packages=[f"sparring.{name}" for name in FOUND], package_dir={f"sparring.{floor}": floor for floor in FLOORS})
