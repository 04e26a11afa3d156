"""Finds the packages; all else is in pyproject.toml. Folders beside `nasarch` are installed as its sub-packages; weights holds data.

The description is the README without pictures and links into the repository, which an index page can't follow.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {
    "nasarch": "nasarch",
    "nasarch.weights": "nasarch/weights",
    "nasarch.genotypes": "genotypes",
    "nasarch.search": "search",
    "nasarch.export": "export",
}
README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")

setup(
    packages=[f"{package}{room}" for package, folder in FOLDERS.items() for room in ("", *(f".{name}" for name in find_packages(folder)))],
    package_dir=FOLDERS,
    long_description=re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", re.sub(r"^!\[.*\n", "", README, flags=re.M)),
    long_description_content_type="text/markdown",
)
