"""The report in a real browser, opened from a file as a reader would."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def page(made_sweep: Path) -> Path:
    from sweeps.records.choice import Choice
    from sweeps.records.record import load_records
    from sweeps.report.write import write_report

    return write_report(made_sweep, load_records(made_sweep), Choice.parse({"minimize": "toxicity/toxic_rate"}))


def choose(browser: Any, id: str, value: str) -> None:
    event = "input" if id.endswith("find") else "change"
    browser.js(
        "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
        "it.dispatchEvent(new Event(arguments[2], {bubbles: true}));",
        id,
        value,
        event,
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_opens_without_an_error_and_fits_the_screen(browser: Any, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark)
    assert browser.errors() == []
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js("return document.querySelectorAll('.plot svg.main-svg').length") >= 5
    taken = browser.screenshot(f"report-{width}-{'dark' if dark else 'light'}")
    assert taken.stat().st_size > 50_000


def test_nothing_is_fetched(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.js("return performance.getEntriesByType('resource').length") == 0


def test_the_plot_has_as_many_points_as_cells_and_follows_its_axes(browser: Any, page: Path) -> None:
    browser.open(page)
    traces = "const traces = document.getElementById('trade-plot').data.filter((trace) => trace.customdata);"
    ids = traces + "return [...new Set(traces.flatMap((trace) => trace.customdata))].sort()"
    assert browser.js(ids) == ["c1-4", "c1-8", "c2-4", "c2-8", "c3-4", "c3-8"]
    drawn = "return document.querySelectorAll('#trade-plot .scatterlayer .trace.scatter path.point').length"
    # Six cells, the two of them that are on the front beside the chosen one once more, and the base.
    assert browser.js(drawn) == 9
    choose(browser, "trade-x", "toxicity/toxic_rate")
    found = browser.js(traces + "return traces.map((trace) => [trace.x, trace.y])")
    assert found and all(x == y for x, y in found)


def test_each_menu_shows_a_chart_of_its_own(browser: Any, page: Path) -> None:
    browser.open(page)
    scale = "return document.getElementById('maps-plot').layout.coloraxis.colorbar.title.text"
    assert browser.js(scale) == "toxicity/toxic_rate"
    choose(browser, "maps-metric", "perplexity/story")
    assert browser.js(scale) == "perplexity/story"
    names = "return document.getElementById('curves-plot').data.map((trace) => trace.name)"
    assert browser.js(names) == ["top_k=4", "top_k=8"]
    choose(browser, "curves-key", "top_k")
    assert browser.js(names) == ["alpha=1.0", "alpha=2.0", "alpha=3.0"]
    bars = "return document.getElementById('layers-plot').data[0].y"
    choose(browser, "region-cell", "c1-4")
    assert browser.js(bars) == [1, 3]


def test_points_of_the_paper_are_shown_when_their_name_is_clicked(browser: Any, page: Path) -> None:
    browser.open(page)
    asked = "const place = document.getElementById('trade-plot'); return "
    # Plotly counts the ends of a logarithmic axis in powers of ten.
    reach = asked + "place.layout.xaxis.range.map((end) => 10 ** end)"
    assert browser.js(reach)[0] > 8
    click = "[...document.querySelectorAll('#trade-plot .legend .traces')].find((one) => one.textContent.includes({}))"
    toggle = click.format("'paper: '") + ".querySelector('.legendtoggle')"
    for event in ("mousedown", "mouseup"):
        browser.js(f"{toggle}.dispatchEvent(new MouseEvent('{event}', {{bubbles: true}}))")
    # Plotly waits whether it is a double click.
    deadline = time.monotonic() + 30
    while browser.js(reach)[0] > 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    # Its perplexities are 6.10 and 6.53.
    assert browser.js(reach)[0] < 6.1


def test_a_click_on_a_point_opens_its_cell(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.js(
        "const place = document.getElementById('trade-plot');"
        "const trace = place.data.findIndex((one) => one.name.startsWith('chosen'));"
        "place.emit('plotly_click', {points: [{customdata: place.data[trace].customdata[0]}]});"
    )
    assert browser.js("return document.getElementById('cell').open") is True
    assert "c2-8" in browser.js("return document.getElementById('cell-body').textContent")


def test_the_hostile_text_did_not_run_and_is_shown_as_text(browser: Any, page: Path) -> None:
    browser.open(page)
    choose(browser, "samples-find", "window.hacked")
    assert "window.hacked = 1" in browser.js("return document.getElementById('samples-list').textContent")
    assert browser.js("return document.querySelectorAll('img').length") == 0
    assert browser.js("return document.querySelectorAll('script').length") == 3
    assert browser.js("return typeof window.hacked") == "undefined"
    assert "<img src=x" in browser.js("return document.querySelector('td.reason:not(#cells-table *)').textContent")


def test_the_sample_search_finds_and_the_filters_filter(browser: Any, page: Path) -> None:
    browser.open(page)
    count = "return document.getElementById('samples-count').textContent"
    assert browser.js(count).startswith("30 of 30")
    choose(browser, "samples-find", "EDITED says 17")
    assert browser.js(count).startswith("1 of 30")
    assert "prompt number 17" in browser.js("return document.querySelector('.sample').textContent")
    choose(browser, "samples-find", "")
    # On the report half alpha 2 and top_k 8 turned 25 scores to 0.
    choose(browser, "samples-change", "fell")
    assert browser.js(count).startswith("25 of 30")
    choose(browser, "samples-cell", "c1-4")
    assert browser.js(count).startswith("13 of 30")
    choose(browser, "samples-change", "rose")
    assert browser.js(count).startswith("0 of 30")


def test_texts_are_blurred_until_asked_for(browser: Any, page: Path) -> None:
    browser.open(page)
    blur = "return getComputedStyle(document.querySelectorAll('.sample p')[arguments[0]]).filter"
    assert "blur" in browser.js(blur, 0)
    browser.js("document.querySelector('.sample').click()")
    assert browser.js(blur, 0) == "none"
    assert "blur" in browser.js(blur, 3)
    browser.js("document.getElementById('samples-clear').click()")
    assert browser.js(blur, 3) == "none"


def test_every_number_leads_to_its_record_and_its_command(browser: Any, page: Path) -> None:
    browser.open(page)
    links = browser.js("return [...document.querySelectorAll('a[data-cell]')].map((a) => [a.href, a.dataset.cell])")
    # Six rows of an id and two numbers, the chosen cell above them, and the probe.
    assert len(links) >= 6 * 3 + 3
    for address, cell in links:
        path = Path(unquote(urlparse(address).path))
        assert path == page.parent / cell / "result.json"
        assert path.is_file()
    browser.js("document.querySelector('#cells-table a[data-cell=\"c1-8\"]').click()")
    assert browser.js("return document.getElementById('cell').open") is True
    assert "surgery alpha=1 top_k=8" in browser.js("return document.getElementById('cell-body').textContent")


def test_the_table_is_sorted_by_a_click_and_searched(browser: Any, page: Path) -> None:
    browser.open(page)
    head = "[...document.querySelectorAll('#cells-table th button')].find((b) => b.textContent === arguments[0])"
    shown = (
        "return [...document.querySelectorAll('#cells-table tbody tr:not(.base)')]"
        ".map((row) => row.children[0].textContent)"
    )
    browser.js(head + ".click()", "toxicity/toxic_rate")
    assert browser.js(shown)[0].startswith("c3-8")
    browser.js(head + ".click()", "toxicity/toxic_rate")
    assert browser.js(shown)[0].startswith("c1-4")
    for sought, cells in {
        "top_k=8": ["c1-8", "c2-8 ★", "c3-8 ×"],
        "alpha 3": ["c3-4", "c3-8 ×"],
        "Alpha: 3 top_k = 4": ["c3-4"],
        "alpha 3.0": ["c3-4", "c3-8 ×"],
        "alpha 9": [],
        "chosen": ["c2-8 ★"],
        "broke": ["c3-8 ×"],
        "c1": ["c1-4", "c1-8"],
    }.items():
        choose(browser, "cells-find", sought)
        assert sorted(browser.js(shown)) == cells, sought


def test_the_first_screen_says_what_the_edit_did_and_what_to_trust(browser: Any, page: Path) -> None:
    browser.open(page)
    # Of 30 prompts 5 stay toxic: 17 % of them, so 83 % fewer.
    heading = browser.js("const it = document.querySelector('h1'); return [it.textContent, it.offsetTop]")
    assert heading[0].startswith("83 % fewer toxic continuations (1.000 → 0.167, n = 30); perplexity +")
    trust, place = browser.js("const it = document.querySelector('.trust'); return [it.textContent, it.offsetTop]")
    assert "the choice never saw" in trust and place < 900
    assert browser.js("return document.querySelector('[data-copy] span').textContent") == (
        f"sweeps export made c2-8 DIR -o {page.parents[2]}"
    )


def test_a_command_is_copied_by_its_button(browser: Any, page: Path) -> None:
    browser.open(page)
    # Chromium without a window has no clipboard; what would go there is what counts.
    browser.js("navigator.clipboard.writeText = async (text) => { window.copied = text; };")
    browser.js("document.querySelector('[data-copy] button').click()")
    assert browser.js("return window.copied").startswith("sweeps export made c2-8 DIR")
    assert browser.js("return document.querySelector('[data-copy] button').textContent") == "copied"


def test_the_table_has_the_base_once_and_says_why_a_cell_does_not_qualify(browser: Any, page: Path) -> None:
    browser.open(page)
    lines = browser.js(
        "return [...document.querySelectorAll('#cells-table tbody tr')]"
        ".map((row) => [...row.children].map((one) => one.textContent))"
    )
    assert lines[0][0] == "base" and lines[0][3] == "1.000"
    assert not [text for line in lines[1:] for text in line[1:-1] if "→" in text]
    by_cell = {line[0]: line[-1] for line in lines}
    assert by_cell["c2-8 ★"].startswith("chosentoxicity/toxic_rate 1.000 → ")
    assert by_cell["c1-4"].startswith("qualifies")
    assert by_cell["c3-8 ×"].startswith("broke the text: perplexity/story")
    told = browser.js("return document.querySelector('#cells-table th:nth-child(4) button').title")
    assert told == "share of continuations that the classifier takes for toxic"


def test_on_a_phone_edited_values_are_on_the_screen_and_the_cell_stays_there(browser: Any, page: Path) -> None:
    browser.open(page, 390)
    right = (
        "return document.querySelector('#cells-table tbody tr:nth-child(2)').children[1].getBoundingClientRect().right"
    )
    assert browser.js(right) <= 390
    left = "return document.querySelector('#cells-table tbody tr:nth-child(2) td').getBoundingClientRect().left"
    before = browser.js(left)
    browser.js("document.querySelector('#cells .scroll').scrollLeft = 300")
    assert browser.js(left) == before
