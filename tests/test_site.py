"""docs/: every page is listed, the site of it holds no broken link and fetches nothing, and its notebook runs."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {file.name for file in DOCS.iterdir() if file.suffix in (".md", ".ipynb")} - {"index.md"}


def test_the_index_lists_every_page_once() -> None:
    """The site's navigation is made of it: a new page needs a row in one of its tables."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = [to for to in re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", index, re.MULTILINE) if not to.startswith("../")]
    assert sorted(listed) == sorted(PAGES), "each page of docs/ needs one row in a table of docs/index.md"


def test_lists_and_tables_begin_after_an_empty_line() -> None:
    """GitHub shows a list right below a line of text as a list, the site as text."""
    for page in DOCS.glob("*.md"):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        assert re.findall(r"^(?![-|#\s]|\d+\. |<!--)(.+)\n(?:- |\d+\. |\| )", text, re.MULTILINE) == [], page.name


class Fetched(HTMLParser):
    """What a browser fetches for a page, and the pages that its navigation links."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.navigation: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "link") and given.get("rel") != "canonical":
            self.sources += [value for value in (given.get("src"), given.get("href")) if value]
        if tag == "a" and "md-nav__link" in (given.get("class") or ""):
            self.navigation.add((given.get("href") or "").split("#")[0])


def built(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """mkdocs, as `make site` calls it, on the docs in a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)


@pytest.mark.site
def test_the_site_holds_every_page_and_fetches_nothing(tmp_path: Path) -> None:
    assert (run := built(ROOT, tmp_path / "site")).returncode == 0, run.stderr
    for page in PAGES | {"index.md"}:
        seen = Fetched()
        seen.feed((tmp_path / "site" / page).with_suffix(".html").read_text(encoding="utf-8"))
        assert {f"{Path(other).stem}.html" for other in PAGES} <= seen.navigation
        assert [source for source in seen.sources if re.match(r"(?:\w+:)?//", source)] == []
    changelog = (tmp_path / "site" / "CHANGELOG.html").read_text(encoding="utf-8")
    assert 'href="development.html#a-new-method"' in changelog, "a link into docs/ from outside"


@pytest.mark.site
def test_broken_links_end_the_build(tmp_path: Path) -> None:
    """To a page, to a heading, and to a file outside docs/ that is not in the site."""
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "validation/README.md", "validation/results"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/site_pages.py", tmp_path / "tools")
    with (tmp_path / "docs/search.md").open("a", encoding="utf-8") as page:
        page.write("\n[a](nopage.md) [b](keys.md#noheading) [c](../nofile.py)\n")
    run = built(tmp_path, tmp_path / "site")
    assert run.returncode == 1
    assert [word for word in ("nopage", "noheading", "nofile") if word not in run.stderr] == []
    assert run.stderr.count("WARNING") == 3, run.stderr


@pytest.mark.site
def test_the_notebook_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    kept = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    ran = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    nbclient.NotebookClient(ran, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for now, then in zip(ran.cells, kept.cells, strict=True):
        assert printed(now) == printed(then), then.source
    assert sum(bool(printed(cell)) for cell in kept.cells) >= 6


def printed(cell: dict[str, Any]) -> str:
    """What a cell of a notebook shows as text."""
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])
    )
