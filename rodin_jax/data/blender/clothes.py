"""Clothes: the body a little larger, with an opening for the neck, and what is sewn on it.

All but `clothes` is in body space.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from rodin_jax.data.avatars.spec import CLOTHING_COLOUR
from rodin_jax.data.blender import fields
from rodin_jax.data.blender.body import FLOOR, RISE, Body
from rodin_jax.data.blender.head import NECK, Head, skin_colours
from rodin_jax.data.blender.parts import Part, Surface, merge, sheet, smooth_path, sphere, tube

_LOW, _HIGH = (-0.80, -0.50, -1.08), (0.80, 0.56, -0.24)
_STEP = 0.018
_WHITE = (0.95, 0.95, 0.94)


def clothes(head: Head, body: Body) -> list[Part]:
    """The garment of this person, and the skin it leaves bare, in the world."""
    spec = head.spec
    colour = CLOTHING_COLOUR[spec.clothing_colour]
    pale = np.mean(colour) > 0.6
    accent = CLOTHING_COLOUR[spec.accent]
    # Stripes and dots are white on dark cloth and dark on pale.
    second = tuple(0.35 * np.asarray(accent)) if pale else _WHITE
    cloth = Surface("cloth", colour, spec.pattern, second)
    plain = Surface("cloth", colour)
    made = _GARMENTS[spec.clothing](head, body, cloth, plain, accent)
    return [dataclasses.replace(part, vertices=part.vertices + (0, 0, RISE)) for part in made]


def _shade(surface: Surface, factor: float) -> Surface:
    return Surface(surface.kind, tuple(np.clip(np.asarray(surface.colour) * factor, 0, 1)))


def _skin(head: Head, body: Body) -> Part:
    """Bare chest, shoulders and arms, for clothes that show them."""

    def field(p):
        neck = fields.capsule(p, *NECK, (head.neck, 1.12 * head.neck))
        return np.maximum(fields.melt(body.field(p), neck, 0.09), FLOOR - p[:, 2])

    vertices, faces = fields.surface(field, (-0.8, -0.5, -1.08), (0.8, 0.56, -0.42), _STEP)
    return Part(vertices, faces, Surface("skin"), skin_colours(head, vertices))


def _garment(body: Body, surface: Surface, opening: fields.Field, thick: float = 0.018) -> Part:
    """The body raised by ``thick`` without what ``opening`` holds, flat at the floor."""

    def field(p):
        d = fields.carve(body.field(p) - thick, opening(p), 0.02)
        return np.maximum(d, FLOOR - p[:, 2])

    vertices, faces = fields.surface(field, _LOW, _HIGH, _STEP)
    return Part(vertices, faces, surface)


def _hole(head: Head, wide: float, deep: float) -> fields.Field:
    """The neck's hole: ``wide`` beyond the neck, ``deep`` down the chest."""
    radius = head.neck + wide

    def field(p):
        # A cylinder whose axis leans back, so that the front of the hole is lower.
        q = p - np.array([0.0, 0.055, -0.50])
        round_ = np.sqrt(q[:, 0] ** 2 + (q[:, 1] * 1.02) ** 2) - radius
        return np.maximum(round_, -(q[:, 2] + 0.07 + deep * np.clip(-q[:, 1] * 5, -0.6, 1)))

    return field


def _wedge(top: float, half: float, bottom: float) -> fields.Field:
    """A V from half width ``half`` at height ``top`` to a point at ``bottom``, in front."""

    def field(p):
        width = half * (p[:, 2] - bottom) / (top - bottom)
        return np.maximum(np.abs(p[:, 0]) - width, p[:, 1])

    return field


def _either(*shapes: fields.Field) -> fields.Field:
    return lambda p: np.minimum.reduce([shape(p) for shape in shapes])


def _ring(body: Body, radius: float, surface: Surface, girth: float, *, lift=0.012, drop=0.0,
          flat=0.7) -> Part:  # fmt: skip
    """A band around the neck's hole, lying on the garment; ``drop`` lowers its front."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = radius * np.sin(angle), 0.055 - radius * np.cos(angle)
    z = np.full(48, -0.30)
    p = np.stack([x, y, z], -1)
    for _ in range(24):  # fall onto the shoulders
        p[:, 2] -= np.clip(body.field(p) - lift, -0.02, 0.05)
    p[:, 2] -= drop * np.clip(np.cos(angle), 0, 1) ** 2
    return tube(p, girth, surface, closed=True, flat=flat, sides=10)


def _drape(body: Body, left, right, surface: Surface, lift: float, *, columns: int = 9) -> Part:
    """A piece of cloth on the chest between two lines of (x, z), ``lift`` above the body."""
    left, right = np.asarray(left, float), np.asarray(right, float)
    rows = 22
    t = np.linspace(0, 1, rows)
    edges = []
    for line in (left, right):
        at = np.linspace(0, 1, len(line))
        edges.append(np.stack([np.interp(t, at, line[:, j]) for j in (0, 1)], -1))
    share = np.linspace(0, 1, columns)[None, :, None]
    flat = edges[0][:, None] * (1 - share) + edges[1][:, None] * share
    points = fields.from_front(body.field, flat[..., 0], flat[..., 1], lift=lift)
    # Edges turn down into the cloth below, so the piece looks thick.
    points[:, [0, -1], 1] += lift
    points[[0, -1], :, 1] += 0.7 * lift
    if left[0, 0] > right[0, 0]:
        points = points[:, ::-1]
    return sheet(points, surface)


def _both(body: Body, left, right, surface: Surface, lift: float) -> list[Part]:
    """The same piece on both sides."""
    mirror = np.array([-1, 1])
    other = (np.asarray(left) * mirror, np.asarray(right) * mirror)
    return [_drape(body, left, right, surface, lift), _drape(body, *other, surface, lift)]


def _line(body: Body, points, girth: float, surface: Surface, lift: float) -> Part:
    """A seam, cord or zip through (x, z) points on the chest."""
    path = smooth_path(np.insert(np.asarray(points, float), 1, 0.0, axis=1), 24)
    on = fields.from_front(body.field, path[:, 0], path[:, 2], lift=lift)
    return tube(on, girth, surface, sides=8, up=(0.0, 1.0, 0.0))


def _buttons(body: Body, heights, surface: Surface, x: float = 0.0) -> Part:
    spots = fields.from_front(body.field, np.full(len(heights), x), np.array(heights), lift=0.030)
    return merge([sphere(p, (0.017, 0.008, 0.017), surface, rings=8) for p in spots], surface)


def _collar(head: Head, body: Body, surface: Surface) -> list[Part]:
    """A shirt's collar: a stand round the neck and two points folded over it."""
    made = []
    radius = head.neck + 0.028
    for side in (-1, 1):
        angle = np.radians(np.linspace(178, 14, 20))
        x, y = np.sin(angle), -np.cos(angle)
        height = np.linspace(-0.415, -0.505, 20)
        long = np.interp(np.linspace(0, 1, 20), [0, 0.6, 0.93, 1], [0.075, 0.085, 0.135, 0.10])
        rows = []
        # Up the inside, over the fold, down the outside.
        steps = ((0.0, -0.04), (0.006, 0.0), (0.022, 0.004), (0.034, -0.30), (0.062, -1.0))
        for out, down in steps:
            r = radius + out
            z = height + (down * long if down < -0.1 else down)
            rows.append(np.stack([side * r * x, 0.055 + r * y * 1.02, z], -1))
        points = np.stack(rows)
        clear = body.field(points[3:].reshape(-1, 3)).reshape(2, -1) - 0.030
        lift = np.clip(-clear, 0, 0.2)[..., None]
        normals = fields.gradient(body.field, points[3:].reshape(-1, 3)).reshape(2, -1, 3)
        points[3:] += lift * normals
        made.append(sheet(points if side > 0 else points[:, ::-1], surface))
    return made


def _t_shirt(head, body, cloth, plain, accent):
    hole = _hole(head, 0.055, 0.03)
    cuff = lambda p: p[:, 2] + 0.95  # noqa: E731
    sleeve = lambda p: np.maximum(cuff(p), 0.36 * body.wide - np.abs(p[:, 0]))  # noqa: E731
    shirt = _garment(body, cloth, _either(hole, sleeve), thick=0.022)
    ribbing = _ring(body, head.neck + 0.062, _shade(plain, 0.82), 0.020, lift=0.016, drop=0.02)
    return [_skin(head, body), shirt, ribbing]


def _hoodie(head, body, cloth, plain, accent):
    shirt = _garment(body, cloth, _hole(head, 0.05, 0.05), thick=0.032)
    darker = _shade(plain, 0.86)
    rim = head.neck + 0.085
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    front = np.cos(angle)
    path = np.stack(
        [rim * 1.08 * np.sin(angle), 0.065 - rim * front, -0.475 - 0.085 * np.clip(front, 0, 1)],
        -1,
    )
    roll = tube(path, 0.058 - 0.014 * front, darker, closed=True, sides=14)
    lining = tube(path + (0, -0.004, 0.012), 0.048 - 0.016 * front, _shade(plain, 0.6),
                  closed=True, sides=12)  # fmt: skip
    hood = sphere((0, 0.275, -0.545), (0.25, 0.105, 0.165), darker, rings=20, pitch=16)
    cords = []
    for side in (-1, 1):
        line = [(side * 0.075, -0.575), (side * 0.085, -0.66), (side * 0.08, -0.78)]
        cords.append(_line(body, line, 0.010, Surface("cloth", _WHITE), 0.052))
        end = fields.from_front(body.field, side * 0.08, -0.785, lift=0.052)
        cords.append(sphere(end, (0.013, 0.013, 0.02), Surface("metal", (0.8, 0.8, 0.8)), rings=8))
    return [shirt, roll, lining, hood, *cords]


def _shirt(head, body, cloth, plain, accent):
    shirt = _garment(body, cloth, _hole(head, 0.03, 0.0), thick=0.020)
    strip = _drape(body, [(-0.032, -0.535), (-0.032, -1.04)], [(0.032, -0.535), (0.032, -1.04)],
                   _shade(plain, 1.08), 0.028)  # fmt: skip
    pearl = Surface("plastic", (0.97, 0.96, 0.92) if np.mean(cloth.colour) < 0.7 else (0.3,) * 3)
    buttons = _buttons(body, (-0.62, -0.74, -0.86, -0.97), pearl)
    return [shirt, strip, buttons, *_collar(head, body, _shade(plain, 1.12))]


def _turtleneck(head, body, cloth, plain, accent):
    sweater = _garment(body, cloth, _hole(head, 0.0, -0.1), thick=0.030)
    made = [sweater]
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    for i, z in enumerate(np.linspace(-0.315, -0.525, 7)):
        radius = head.neck + 0.026 + 0.010 * i / 6 + (0.012 if i < 4 else 0)
        y = 0.052 - 0.01 * (i < 2) - radius * np.cos(angle)
        path = np.stack([radius * np.sin(angle), y, z - 0.02 * np.cos(angle)], -1)
        made.append(tube(path, 0.027, _shade(plain, 0.97 if i % 2 else 0.9), closed=True))
    return made


def _leather_jacket(head, body, cloth, plain, accent):
    leather = Surface("leather", cloth.colour)
    under = _garment(body, Surface("cloth", accent), _hole(head, 0.055, 0.03), thick=0.010)
    neck = _ring(body, head.neck + 0.062, Surface("cloth", tuple(0.82 * np.asarray(accent))), 0.016,
                 lift=0.008, drop=0.02)  # fmt: skip
    gap = _either(_hole(head, 0.075, 0.0), _wedge(-0.45, 0.155, -1.20))
    jacket = _garment(body, leather, gap, thick=0.040)
    lapel = _both(body, [(0.150, -0.500), (0.110, -0.66), (0.062, -0.86)],
                  [(0.215, -0.515), (0.285, -0.66), (0.075, -0.875)],
                  _shade(leather, 1.0), 0.066)  # fmt: skip
    collar = _ring(body, head.neck + 0.10, leather, 0.045, lift=0.045, flat=0.55)
    steel = Surface("metal", (0.78, 0.78, 0.80))
    zips = [_line(body, [(s * 0.052, -0.88), (s * 0.045, -1.03)], 0.011, steel, 0.045)
            for s in (-1, 1)]  # fmt: skip
    zips.append(_line(body, [(0.16, -0.80), (0.27, -0.76)], 0.009, steel, 0.047))
    zips.append(_buttons(body, (-0.845,), steel, x=-0.086))
    straps = [tube(_shoulder(body, side), 0.030, leather, flat=0.35, up=(0, 1, 0))
              for side in (-1, 1)]  # fmt: skip
    return [_skin(head, body), under, neck, jacket, *lapel, collar, *zips, *straps]


def _shoulder(body: Body, side: int):
    """A line on top of the shoulder."""
    x = np.linspace(0.24, 0.39, 8) * body.wide
    p = np.stack([side * x, np.full(8, 0.06), np.full(8, -0.45)], -1)
    for _ in range(24):
        p[:, 2] -= np.clip(body.field(p) - 0.050, -0.02, 0.05)
    return p


def _suit(head, body, cloth, plain, accent):
    white = Surface("cloth", _WHITE if np.mean(cloth.colour) < 0.8 else (0.62, 0.74, 0.9))
    shirt = _garment(body, white, _hole(head, 0.03, 0.0), thick=0.014)
    gap = _either(_hole(head, 0.07, 0.0), _wedge(-0.45, 0.135, -0.93))
    jacket = _garment(body, cloth, gap, thick=0.034)
    lapel = _both(body, [(0.128, -0.480), (0.085, -0.66), (0.012, -0.915)],
                  [(0.185, -0.490), (0.215, -0.64), (0.020, -0.935)],
                  _shade(plain, 0.80), 0.052)  # fmt: skip
    notch = _both(body, [(0.135, -0.470), (0.165, -0.585)], [(0.200, -0.465), (0.255, -0.590)],
                  _shade(plain, 0.86), 0.056)  # fmt: skip
    tie = Surface("plastic", accent)
    knot = _drape(body, [(-0.034, -0.535), (-0.024, -0.595)], [(0.034, -0.535), (0.024, -0.595)],
                  tie, 0.046)  # fmt: skip
    blade = _drape(body, [(-0.024, -0.590), (-0.048, -0.80), (-0.052, -1.04)],
                   [(0.024, -0.590), (0.048, -0.80), (0.052, -1.04)], tie, 0.030)  # fmt: skip
    pocket = _drape(body, [(0.17, -0.735), (0.17, -0.775)], [(0.26, -0.725), (0.26, -0.765)],
                    white, 0.045)  # fmt: skip
    return [shirt, *_collar(head, body, white), jacket, *lapel, *notch, blade, knot, pocket]


def _dress(head, body, cloth, plain, accent):
    def opening(p):
        # A round neckline between two straps, and bare shoulders and arms; negative where bare.
        x = np.abs(p[:, 0])
        neckline = -0.74 + 2.2 * x * x + 0.08 * (p[:, 1] > 0.05)
        chest = np.maximum(neckline - p[:, 2], x - 0.165)
        arms = (0.225 + 0.30 * np.clip(-0.68 - p[:, 2], 0, 0.4)) * body.wide - x
        return np.minimum(chest, arms)

    dress = _garment(body, cloth, opening, thick=0.016)
    pearls = []
    for angle in np.linspace(-1.35, 1.35, 19):
        x, y = 0.175 * np.sin(angle), 0.05 - 0.175 * np.cos(angle)
        p = np.array([[x, y, -0.46]])
        for _ in range(24):
            p[:, 2] -= np.clip(body.field(p) - 0.004, -0.02, 0.05)
        pearls.append(sphere(p[0], (0.0155,) * 3, Surface("plastic"), rings=8))
    return [_skin(head, body), dress, merge(pearls, Surface("plastic", (0.96, 0.94, 0.90)))]


_GARMENTS: dict[str, Callable[..., list[Part]]] = {
    "t-shirt": _t_shirt,
    "hoodie": _hoodie,
    "shirt": _shirt,
    "turtleneck": _turtleneck,
    "leather jacket": _leather_jacket,
    "suit": _suit,
    "dress": _dress,
}
