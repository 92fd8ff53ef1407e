"""What the site has beside the pages of docs/: a hook of mkdocs, named in mkdocs.yml.

A link works on GitHub, where docs/ is a folder, and in the site, where docs/ is the root: a page from outside docs/
is put into the site under its path in the repository, and links that leave or enter docs/ are rewritten.
"""

import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "validation/README.md", "validation/results/**/*.md")


def on_config(config: MkDocsConfig) -> None:
    """Makes the navigation of what docs/index.md lists: each heading is a group, each row of its table a page."""
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    config.nav = [{"Home": "index.md"}]
    for group in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| \[([^]]+)\]\(([^)]+)\)", group, flags=re.MULTILINE)
        config.nav.append({group.splitlines()[0]: [{name[0].upper() + name[1:]: _in_site(to)} for name, to in rows]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages from outside docs/, and each notebook as a page."""
    for source in sorted(file for pattern in OUTSIDE for file in ROOT.glob(pattern)):
        place = source.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(source), inclusion=InclusionLevel.NOT_IN_NAV))
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        text, _ = MarkdownExporter().from_notebook_node(nbformat.read(notebook, as_version=4))
        files.append(File.generated(config, f"{notebook.stem}.md", content=text))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links that leave docs/ or enter it."""
    rewritten = _from_outside if (ROOT / page.file.src_uri).exists() else _in_site
    return re.sub(r"(?<=\]\()[^)\s]+(?=\))", lambda link: rewritten(link[0]), markdown)


def _in_site(link: str) -> str:
    """Where the target of a link in docs/ is in the site."""
    return re.sub(r"\.ipynb(?=#|$)", ".md", link.removeprefix("../"))


def _from_outside(link: str) -> str:
    """Where the target of a link in a page from outside docs/ is, seen from that page in the site."""
    return re.sub(r"^((?:\.\./)*)docs/", r"\1", link)
