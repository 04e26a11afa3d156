"""Finds the packages; all else is in pyproject.toml. Folders beside `nasarch` are installed as its sub-packages; weights holds data."""

from setuptools import find_packages, setup

FOLDERS = {
    "nasarch": "nasarch",
    "nasarch.weights": "nasarch/weights",
    "nasarch.genotypes": "genotypes",
    "nasarch.search": "search",
    "nasarch.export": "export",
}

setup(
    packages=[f"{package}{room}" for package, folder in FOLDERS.items() for room in ("", *(f".{name}" for name in find_packages(folder)))],
    package_dir=FOLDERS,
)
