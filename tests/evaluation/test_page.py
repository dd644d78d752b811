"""The page: escaped, whole in itself, and of the same numbers as the JSON."""

import json
import re

import numpy as np
import pytest

from rodin_jax.evaluation import page

EVIL = '<script>alert("1")</script>'


def report(rows, caption=""):
    picture = np.zeros((2, 2, 3), np.uint8)
    blocks = [
        page.Table("t", {"name": "name", "share": "share, %", "n": "n"}, rows),
        page.Gallery("g", [(caption, picture)]),
        page.Histogram("h", {"a": [0.1, 0.2], caption or "b": [0.3]}),
    ]
    section = page.Section("Section", caption, {"rows": rows}, blocks)
    document = {"bundle": {"name": caption or "x"}, "skipped": {"text": caption}, "seconds": 1.0}
    return document, {"one": section}


def test_no_text_becomes_markup():
    document, sections = report([{"name": EVIL, "share": 0.5, "n": 3}], EVIL)
    html = page.as_html(document, sections)
    assert "<script" not in html and html.count("&lt;script&gt;") >= 6
    assert 'alt="&lt;script&gt;alert(&quot;1' in html


def test_nothing_is_fetched_from_elsewhere():
    html = page.as_html(*report([{"name": "a", "share": 0.5, "n": 3}]))
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"@import|url\(|https?://|<link|<iframe", html)


def test_figures_are_shown_as_shares_or_numbers():
    rows = [{"name": "a", "share": 0.12345, "n": 3}, {"name": "b", "share": None, "n": 7}]
    html = page.as_html(*report(rows))
    assert "<td>12.3</td><td>3</td>" in html and "<td>–</td><td>7</td>" in html
    assert page.shown(1234.5678) == "1235" and page.shown(True) == "yes"
    assert page.shown(float("nan")) == "–"


def test_json_is_strict():
    value = {"a": np.float32(1) / 3, "b": (np.int64(2), float("inf")), 3: np.arange(2), "c": None}
    text = page.as_json(page.plain(value))
    assert json.loads(text) == {"a": 0.33333, "b": [2, None], "3": [0, 1], "c": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        page.as_json({"a": float("nan")})
