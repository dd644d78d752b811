"""A capture on one page: its cameras around the cube, seen from above and from the side, and its
pictures with the cube drawn into them.
"""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from rodin_jax.data.capture import Capture
from rodin_jax.data.captures.check import Report
from rodin_jax.data.captures.pinholes import CORNERS, as_arrays, project, rays

_WIDTH, _GAP, _COLUMNS, _ROWS = 1200, 12, 8, 4
_NAME = 10  # characters before a line's value
_INK, _PALE, _RED = (40, 44, 52), (190, 195, 205), (205, 40, 40)
_SPLITS = {"train": (40, 100, 200), "val": (225, 145, 20), "test": (30, 150, 80)}
_OTHER = (130, 80, 170)
_EDGES = [(i, j) for i in range(8) for j in range(i) if bin(i ^ j).count("1") == 1]


def draw(capture: Capture, report: Report) -> UInt8[np.ndarray, "h w 3"]:
    """The page; pictures and cameras with something seriously wrong are red."""
    lines = [line for text in report.lines() for line in _wrapped(text)]
    half = (_WIDTH - 3 * _GAP) // 2
    cell = (_WIDTH - (_COLUMNS + 1) * _GAP) // _COLUMNS
    count, height, width = capture.images.shape[:3]
    shown = np.unique(np.linspace(0, count - 1, min(count, _COLUMNS * _ROWS)).round().astype(int))
    tall = max(8, min(3 * cell, round(cell * height / width)))
    rows = -(-len(shown) // _COLUMNS)
    text_height = 20 * len(lines) + _GAP
    page = Image.new(
        "RGB", (_WIDTH, text_height + half + 3 * _GAP + rows * (tall + 18 + _GAP)), "white"
    )
    pen = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        colour = _RED if line.startswith("WRONG") else _INK
        for column, part in ((0, line[:_NAME]), (85, line[_NAME:])):
            pen.text((_GAP + column, _GAP + 20 * i), part.strip(), fill=colour, font=_font(15))
    cameras = as_arrays(capture.cameras)
    wrong = {i for finding in report.findings if finding.serious for i in finding.pictures}
    colours = _colours(capture, wrong)
    top = text_height + _GAP
    eyes = cameras[0][:, :3, 3]
    # To the corners of each picture.
    fans = rays(*cameras, np.array([[0, 0], [width, 0], [width, height], [0, height]], float))
    for place, (title, axes) in enumerate({"top: x right, y up": (0, 1),
                                           "side: y right, z up": (1, 2)}.items()):  # fmt: skip
        panel = _panel(eyes, fans, colours, axes, half, title)
        page.paste(panel, (_GAP + place * (half + _GAP), top))
    legend = {split: _SPLITS.get(split, _OTHER) for split in capture.splits} | (
        {"wrong": _RED} if wrong else {}
    )
    for i, (name, colour) in enumerate(legend.items()):
        pen.text((_GAP + 8, top + 28 + 18 * i), name, fill=colour, font=_font(13))
    cube, depth = project(*cameras, CORNERS)
    names = capture.source.names if capture.source is not None else ()
    for place, i in enumerate(shown.tolist()):
        row, column = divmod(place, _COLUMNS)
        corner = (_GAP + column * (cell + _GAP), top + half + _GAP + row * (tall + 18 + _GAP))
        thumbnail = _thumbnail(capture.images[i], cube[i], depth[i], cell, tall, colours[i])
        page.paste(thumbnail, corner)
        name = f"{i}" + (f"  {names[i][-18:]}" if names else "")
        pen.text((corner[0], corner[1] + tall + 2), name, fill=colours[i], font=_font(12))
    return np.asarray(page)


def _colours(capture: Capture, wrong: set[int]) -> list[tuple[int, int, int]]:
    colours = [_OTHER] * len(capture.images)
    for split, rows in capture.splits.items():
        for i in rows.tolist():
            colours[i] = _SPLITS.get(split, _OTHER)
    return [_RED if i in wrong else colour for i, colour in enumerate(colours)]


def _panel(eyes, fans, colours, axes, size, title) -> Image.Image:
    """Cameras and cube along one axis; the cube is drawn with its axes."""
    panel = Image.new("RGB", (size, size), (250, 250, 252))
    pen = ImageDraw.Draw(panel)
    # A camera far from all others must not make the rest a dot.
    reach = 1.25 * max(1.3, float(np.quantile(np.abs(eyes[:, axes]).max(-1), 0.98)))

    def at(point):
        x, y = (np.clip(point[..., a], -reach, reach) for a in axes)
        return ((x / reach + 1) * size / 2, (1 - y / reach) * size / 2)

    length = 0.12 * reach
    for eye, fan, colour in zip(eyes, fans, colours, strict=True):
        corners = [at(eye + length * corner) for corner in fan]
        pale = tuple((c + 2 * 255) // 3 for c in colour)
        pen.line([*corners, corners[0]], fill=pale)
        for corner in corners:
            pen.line([at(eye), corner], fill=pale)
    for eye, colour in zip(eyes, colours, strict=True):
        x, y = at(eye)
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
    low, high = at(np.full(3, -1.0)), at(np.full(3, 1.0))
    pen.rectangle([low[0], high[1], high[0], low[1]], outline=_INK, width=2)
    origin = at(np.zeros(3))
    for axis in axes:
        end = at(np.eye(3)[axis] * 0.9)
        pen.line([origin, end], fill=_INK)
        pen.text((end[0] - 10, end[1] + 2), "xyz"[axis], fill=_INK, font=_font(13))
    if 2 not in axes:
        face = at(np.array([0, -1.0, 0]))
        pen.text((face[0], face[1] + 3), "face", fill=_INK, font=_font(13), anchor="ma")
    pen.rectangle([0, 0, size - 1, size - 1], outline=_PALE)
    pen.text((8, 6), title, fill=_INK, font=_font(15))
    return panel


def _thumbnail(
    pixels: UInt8[np.ndarray, "h w 4"],
    cube: Float[np.ndarray, "8 2"],
    depth: Float[np.ndarray, "8"],
    width: int,
    height: int,
    colour,
) -> Image.Image:
    """The picture over a checkerboard, and the cube, whose corners are at pixels ``cube`` of it."""
    picture = Image.fromarray(pixels)
    full = picture.size
    picture = picture.convert("RGBa").resize((width, height), Image.Resampling.BOX).convert("RGBA")
    y, x = np.mgrid[:height, :width] // 8
    board = np.where((x + y) % 2, 235, 255).astype(np.uint8)
    back = Image.fromarray(np.dstack([board] * 3)).convert("RGBA")
    back.alpha_composite(picture)
    back = back.convert("RGB")
    pen = ImageDraw.Draw(back)
    cube = cube * [width / full[0], height / full[1]]
    for a, b in _EDGES:
        if min(depth[a], depth[b]) > 1e-3:
            ends = [tuple(cube[k]) for k in (a, b)]
            if np.abs(ends).max() < 1e5:
                pen.line(ends, fill=(120, 120, 130))
    pen.rectangle([0, 0, width - 1, height - 1], outline=colour, width=2)
    return back


def _wrapped(text: str, columns: int = 140) -> list[str]:
    """Lines of at most ``columns`` characters; those that go on are indented."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + len(word) + 1 > columns:
            lines.append(line)
            line = " " * (_NAME - 1)
        line = f"{line} {word}" if line else word
    return [*lines, line]


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
