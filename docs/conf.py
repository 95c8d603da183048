"""How the site is built: `make docs`."""

import sys
from pathlib import Path

from gristmill import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "Gristmill"
version = release = __version__
copyright = "Gristmill's authors, MIT licence"  # noqa: A001 (Sphinx's name for it)
extensions = ["myst_parser", "reference"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings: list[str] = []
html_theme = "furo"
html_title = "Gristmill"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#7a4a10", "color-brand-content": "#7a4a10"},
    "dark_css_variables": {"color-brand-primary": "#e0b070", "color-brand-content": "#e0b070"},
    "footer_icons": [],
}
