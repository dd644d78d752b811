"""The report as a page and as JSON, from the same numbers.

A section brings its figures, which are the JSON, and blocks that show them. The page is one file:
pictures and style are inside it, there are no scripts, and every text is escaped.
"""

import base64
import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from rodin_jax import png, provenance

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72em; margin: 2em auto;
  padding: 0 1em } h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5em; border-top: 1px solid
  #ccc; padding-top: .6em } h3 { font-size: 1em; margin: 1.4em 0 .4em } table { border-collapse:
  collapse } td, th { padding: .15em .9em .15em 0; text-align: right; font-variant-numeric:
  tabular-nums } td:first-child, th:first-child { text-align: left } th { border-bottom: 1px solid
  #999; font-weight: 600 } .row { display: flex; flex-wrap: wrap; gap: 10px } figure { margin: 0 }
  figcaption { font-size: 12px; line-height: 1.3; white-space: pre-line } .note { color: #666 }
  img { display: block; max-width: 100% } svg { background: #f6f6f6 }
"""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of figures.

    Attributes:
      title: what they are.
      columns: key of a row's entry -> heading; entries under headings that end with "%" are shares.
      rows: of the section's figures.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]

    def html(self) -> str:
        """The table."""
        head = "".join(f"<th>{_text(heading)}</th>" for heading in self.columns.values())
        body = "".join(
            "<tr>"
            + "".join(f"<td>{shown(plain(row.get(k)), h)}</td>" for k, h in self.columns.items())
            + "</tr>"
            for row in self.rows
        )
        return f"<h3>{_text(self.title)}</h3><table><tr>{head}</tr>{body}</table>"


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures side by side.

    Attributes:
      title: what they are.
      items: (caption, uint8 ``[h, w, 3]``).
      width: of a picture on the page in pixels; its own if None.
      notice: who made the pictures, for their metadata.
    """

    title: str
    items: Sequence[tuple[str, UInt8[np.ndarray, "_h _w 3"]]]
    width: int | None = None
    notice: str = provenance.SYNTHETIC

    def html(self) -> str:
        """The pictures, in the page."""
        record = provenance.fields(notice=self.notice)
        figures = []
        for caption, picture in self.items:
            data = base64.b64encode(png.encode(picture, record)).decode()
            width = self.width or picture.shape[1]
            figures.append(
                f'<figure style="width:{width}px"><img width="{width}" alt="{_text(caption)}" '
                f'src="data:image/png;base64,{data}"><figcaption>{_text(caption)}</figcaption>'
                "</figure>"
            )
        return f'<h3>{_text(self.title)}</h3><div class="row">{"".join(figures)}</div>'


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How values of several groups are spread, as shares of each group.

    Attributes:
      title: what the values are.
      groups: name -> values.
      bins: bars of each group.
    """

    title: str
    groups: Mapping[str, Sequence[float]]
    bins: int = 24

    def html(self) -> str:
        """A drawing, one row of bars for each group."""
        every = np.concatenate([np.asarray(v, float) for v in self.groups.values()])
        low, high = float(every.min()), float(every.max())
        high = high if high > low else low + 1.0
        width, height, bar = 560, 70, 560 / self.bins
        rows = []
        for name, values in self.groups.items():
            counts, _ = np.histogram(values, self.bins, (low, high))
            tall = counts / max(counts.max(), 1) * height
            bars = "".join(
                f'<rect x="{i * bar:.1f}" y="{height - t:.1f}" width="{bar - 1:.1f}" '
                f'height="{t:.1f}" fill="#47a"/>'
                for i, t in enumerate(tall)
            )
            rows.append(
                f"<figure><svg width='{width}' height='{height}'>{bars}</svg><figcaption>"
                f"{_text(name)}: {len(values)} values from {low:.3f} to {high:.3f}</figcaption>"
                "</figure>"
            )
        return f"<h3>{_text(self.title)}</h3>{''.join(rows)}"


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
      title: its heading.
      about: what was done, for people.
      figures: the numbers, as JSON can hold them.
      blocks: what shows them.
    """

    title: str
    about: str
    figures: dict[str, Any]
    blocks: Sequence[Table | Gallery | Histogram]


def shown(value: Any, heading: str = "") -> str:
    """A figure as the page shows it, escaped."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and heading.endswith("%"):
        return f"{100 * value:.1f}"
    return f"{value:.4g}" if isinstance(value, float) else _text(value)


def plain(value: Any) -> Any:
    """A value as JSON has it: floats of five digits, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, Sequence) or hasattr(value, "tolist"):
        value = value.tolist() if hasattr(value, "tolist") else value
        return [plain(v) for v in value] if isinstance(value, list | tuple) else plain(value)
    return float(f"{value:.5g}") if math.isfinite(value) else None


def as_html(document: Mapping[str, Any], sections: Mapping[str, Section]) -> str:
    """The whole report as HTML.

    Args:
      document: what ``report.json`` holds.
      sections: by name; their figures are in the document.
    """
    title = f"Evaluation of {document['bundle']['name']}"
    facts = [{"name": k, "value": v} for k, v in _flat(document)]
    skipped = "".join(
        f'<p class="note">Left out, {_text(name)}: {_text(reason)}.</p>'
        for name, reason in document["skipped"].items()
    )
    parts = "".join(
        f'<h2 id="{_text(name)}">{_text(section.title)}</h2><p>{_text(section.about)}</p>'
        + "".join(block.html() for block in section.blocks)
        for name, section in sections.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><h1>{_text(title)}</h1>"
        f"{skipped}{parts}<h2>Settings</h2>"
        f"{Table('What was run', {'name': 'setting', 'value': 'value'}, facts).html()}"
        "</body></html>\n"
    )


def as_json(document: Mapping[str, Any]) -> str:
    """``report.json``."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _flat(document):
    """Everything but the sections' figures, as pairs."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            if name not in ("sections", "skipped"):
                yield from ((f"{name}: {k}", v) for k, v in value.items())
        else:
            yield name, value


def _text(value) -> str:
    return html.escape(str(value), quote=True)
