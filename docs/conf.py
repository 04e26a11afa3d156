"""Configuration of the documentation site, which `make docs` builds into site/ without network.

Sphinx with furo and MyST: the search works from the disk, pages load no fonts or scripts from elsewhere, links and anchors between
Markdown pages are checked, autodoc needs no other tool. Material for MkDocs ends in May 2027, its successor Zensical is not at 1.0 yet.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "nasarch"
author = "nasarch contributors"
copyright = "nasarch contributors, Apache-2.0"
version = release = version_of("nasarch")
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "mathml", "command_reference", "docstring"]
exclude_patterns = ["extensions/**"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # included pages begin at the level of their own headings

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
smartquotes = False
default_role = "literal"  # docstrings write code in single backticks
maximum_signature_line_length = 60
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
viewcode_line_numbers = True

html_theme = "furo"
html_title = f"nasarch {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # browsers refuse to fetch pages from the disk
html_show_sphinx = False
