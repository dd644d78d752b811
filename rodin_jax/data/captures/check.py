"""Is a capture fit to be fitted? What it holds, and what is wrong with it, in words."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from rodin_jax.data.capture import Capture
from rodin_jax.data.captures import framing
from rodin_jax.data.captures.pinholes import as_arrays, project

_FEW, _VERY_FEW = 20, 8
_NEAR = np.cos(np.radians(40))  # directions of neighbours


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something to know about a capture.

    Attributes:
      text: a sentence.
      serious: whether a fit will suffer, rather than might.
      pictures: indices of those it is about, if it is not about all.
    """

    text: str
    serious: bool = True
    pictures: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """What a capture holds; lengths are in cube units, [-1, 1]^3, unless named otherwise.

    Attributes:
      format: NeRF-synthetic, instant-ngp or nerfstudio.
      frames: split -> number of pictures.
      size: width and height in pixels.
      alpha: none, pictures or masks; where the silhouettes come from.
      focal: smallest and largest focal length in pixels, of the undistorted pictures.
      lenses: what the lenses were, in words, each once.
      cube: how the cube's place was found: fields, as it is, silhouettes or cameras.
      cube_fields: the fields that say the same in ``transforms.json``.
      distance: smallest and largest distance of a camera from the cube's centre.
      subject: low and high corner of its box in the cube as silhouettes tell, else None.
      findings: what is wrong, serious first.
    """

    format: str
    frames: dict[str, int]
    size: tuple[int, int]
    alpha: str
    focal: tuple[float, float]
    lenses: tuple[str, ...]
    cube: str
    cube_fields: dict[str, Any]
    distance: tuple[float, float]
    subject: tuple[list[float], list[float]] | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing serious was found."""
        return not any(finding.serious for finding in self.findings)

    def lines(self) -> list[str]:
        """The report for people."""
        parts = [f"{count} {split}" for split, count in self.frames.items()]
        where = {"none": "none", "pictures": "in the pictures", "masks": "from masks"}[self.alpha]
        same = np.ptp(self.focal) < 0.05
        focal = f"{self.focal[0]:.1f}" if same else f"{self.focal[0]:.1f} to {self.focal[1]:.1f}"
        fields = ", ".join(f'"{name}": {value}' for name, value in self.cube_fields.items())
        rows = [
            ("format", self.format),
            ("pictures", f"{', '.join(parts)}; {self.size[0]} x {self.size[1]} pixels"),
            ("alpha", where),
            ("focal", f"{focal} pixels"),
            ("lens", "; ".join(self.lenses[:3]) + (" ..." if len(self.lenses) > 3 else "")),
            ("cube", f"{_CUBE[self.cube]} ({fields})"),
            ("cameras", f"{self.distance[0]:.2f} to {self.distance[1]:.2f} from its centre"),
        ]
        if self.subject is not None:
            corners = (f"({', '.join(f'{x:.2f}' for x in corner)})" for corner in self.subject)
            rows.append(("subject", " to ".join(corners)))
        lines = [f"{name:9s} {value}" for name, value in rows]
        lines += [f"{'WRONG' if f.serious else 'note':9s} {f.text}" for f in self.findings]
        return lines + ([] if self.findings else [f"{'result':9s} nothing wrong found"])

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        fields = dataclasses.asdict(self)
        findings = fields.pop("findings")
        return {"ok": self.ok, **fields, "findings": [*findings]}


_CUBE = {
    "fields": "as the file says",
    "as it is": "the file's own coordinates",
    "silhouettes": "put around the silhouettes",
    "cameras": "put where the cameras look",
}


def examine(capture: Capture) -> Report:
    """Looks at everything; a capture that can be read can be examined."""
    pose, focal, centre = as_arrays(capture.cameras)
    _, height, width, _ = capture.images.shape
    alpha = framing.silhouettes(capture.images[..., 3])
    views = framing.Views(pose, focal, centre, alpha, width, height)
    source = capture.source
    box = None if alpha is None else framing.extent(views.some(48), np.zeros(3), 1.0)
    findings = [
        *_counted(capture),
        *_placed(views, box),
        *_seen(capture, views),
        *_round(capture, views),
    ]
    distance = np.linalg.norm(pose[:, :3, 3], axis=-1)
    masks = source is not None and source.masks
    return Report(
        format="" if source is None else source.format,
        frames={split: len(rows) for split, rows in capture.splits.items()},
        size=(width, height),
        alpha="masks" if masks else "pictures" if capture.has_alpha else "none",
        focal=(float(focal.min()), float(focal.max())),
        lenses=("pinhole",) if source is None else tuple(dict.fromkeys(source.lenses)),
        cube="as it is" if source is None else source.placement.reason,
        cube_fields=(framing.Placement() if source is None else source.placement).as_fields(),
        distance=(float(distance.min()), float(distance.max())),
        subject=None if box is None else tuple(np.round(x, 3).tolist() for x in box),
        findings=tuple(sorted(findings, key=lambda finding: not finding.serious)),
    )


def _counted(capture: Capture) -> Iterator[Finding]:
    train = len(capture.splits["train"])
    if train < _FEW:
        text = f"only {train} pictures to fit to; {_FEW} are few, 50 and more are well"
        yield Finding(text, serious=train < _VERY_FEW)
    if not {"test", "val"} & set(capture.splits):
        yield Finding("no test pictures: a fit cannot be measured on views it has not seen", False)
    if not capture.has_alpha:
        text = "no alpha and no masks: what is behind the cube will be fitted as a backdrop"
        yield Finding(text, False)
    elif (some := _rows((capture.images[..., 3] == 255).all((1, 2)))) and len(some) < len(
        capture.images
    ):
        yield Finding(f"{_count(some)} nothing transparent, unlike the others", True, some)


def _placed(views: framing.Views, box) -> Iterator[Finding]:
    """Cameras and subject against the cube."""
    count = len(views.pose)
    if some := _rows(framing.inside_cube(views)):
        yield Finding(f"{_count(some, 'camera')} inside of the cube", True, some)
    if some := _rows(~_sees_cube(views)):
        text = f"{_count(some, 'camera')} looking away from the cube"
        yield Finding(text, True, some)
    if views.alpha is not None:
        share = framing.outside(views)
        if some := _rows(share > 0.02):
            text = (
                f"{_count(some)} the subject partly outside of the cube (up to {share.max():.0%})"
            )
            yield Finding(text, len(some) > 0.05 * count, some)
        if box is None:
            yield Finding(
                "the silhouettes have no volume in common: the poses are not of these pictures, or "
                "not OpenGL camera-to-world matrices (x right, y up, looking along -z)"
            )
        elif (widest := float((box[1] - box[0]).max())) < 0.8:
            text = f"the subject fills {widest / 2:.0%} of the cube's edge: detail will be lost"
            yield Finding(text, widest < 0.3)
    upright = views.pose[:, 2, 1].mean()
    if upright < 0.3:
        word = "down" if upright < -0.3 else "sideways"
        yield Finding(f"the cameras' up points {word} in the file: is its z axis up?", False)


def _seen(capture: Capture, views: framing.Views) -> Iterator[Finding]:
    """The pictures themselves."""
    light, sharp, plain = _measure(capture.images)
    if some := _rows((capture.images[..., 3] < 8).all((1, 2))):
        yield Finding(f"{_count(some)} nothing but transparent pixels", True, some)
    if some := _rows(plain):
        yield Finding(f"{_count(some)} nothing but one colour", True, some)
    blurry = _unlike_neighbours(sharp, views)
    if some := _rows(blurry < 0.25):
        yield Finding(f"{_count(some)} much less detail than those beside: blurred?", False, some)
    bright = _unlike_neighbours(light, views)
    if some := _rows((bright > 1.5) | (bright < 1 / 1.5)):
        text = f"{_count(some)} another brightness than those beside: exposure not fixed?"
        yield Finding(text, False, some)
    if views.alpha is not None:
        edge = np.concatenate(
            [views.alpha[:, 0], views.alpha[:, -1], views.alpha[:, :, 0], views.alpha[:, :, -1]], 1
        )
        some = _rows((edge > 127).mean(1) > 0.02)
        if 2 * len(some) > len(edge):
            yield Finding(f"{_count(some)} the subject cut off by the picture's edge", False, some)


def _round(capture: Capture, views: framing.Views) -> Iterator[Finding]:
    """How the cameras are spread."""
    flat = views.pose.reshape(len(views.pose), -1).round(5)
    _, first = np.unique(flat, axis=0, return_index=True)
    if some := tuple(sorted(set(range(len(flat))) - set(first.tolist()))):
        yield Finding(f"{_count(some)} the pose of another picture", False, some)
    eyes = views.pose[capture.splits["train"], :2, 3]
    azimuth = np.sort(np.degrees(np.arctan2(eyes[:, 0], -eyes[:, 1])) % 360)
    gap = float(np.diff(azimuth, append=azimuth[0] + 360).max())
    if gap > 120:
        yield Finding(f"nobody looks from {gap:.0f} degrees of the way round: that side is unknown",
                      False)  # fmt: skip
    if np.abs((azimuth + 180) % 360 - 180).min() > 45:
        yield Finding("no camera near -y, where the face of an avatar would be", False)


def _sees_cube(views: framing.Views) -> np.ndarray:
    """Whether some point of the cube is in each picture."""
    steps = np.linspace(-1, 1, 7)
    points = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    places, _ = project(views.pose, views.focal, views.centre, points)
    return ((places >= 0) & (places <= [views.width, views.height])).all(-1).any(-1)


def _measure(pictures: np.ndarray):
    """Of each picture: mean brightness, sharpness (nan where there is nothing), one colour only."""
    import cv2

    light, sharp, plain = [], [], []
    for picture in pictures:
        solid = (picture[..., 3] > 250).astype(np.uint8)
        # Inside of silhouettes: their edges are sharp in any picture.
        within = cv2.erode(solid, np.ones((7, 7), np.uint8)) > 0
        grey = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY)
        grey = grey.astype(np.float32)
        some = grey[within]
        if len(some) < 30:
            light.append(np.nan), sharp.append(np.nan)
        else:
            detail = cv2.Laplacian(grey, cv2.CV_32F)[within]
            light.append(some.mean() + 1)
            sharp.append(detail.std() / (some.std() + 1))
        seen = picture[..., :3][solid > 0]
        plain.append(len(seen) > 0 and int(np.ptp(seen.reshape(-1, 3), axis=0).max()) < 4)
    return np.array(light), np.array(sharp), np.array(plain)


def _unlike_neighbours(values: Float[np.ndarray, "n"], views: framing.Views) -> np.ndarray:
    """Each value over the median of those seen from about there; 1 if there are too few."""
    eyes = views.pose[:, :3, 3]
    directions = eyes / np.maximum(np.linalg.norm(eyes, axis=-1, keepdims=True), 1e-9)
    near = directions @ directions.T > _NEAR
    np.fill_diagonal(near, False)
    near &= np.isfinite(values)[None, :]
    ratios = np.ones(len(values))
    for i, row in enumerate(near):
        if row.sum() >= 3 and np.isfinite(values[i]):
            ratios[i] = values[i] / max(float(np.median(values[row])), 1e-6)
    return ratios


def _rows(chosen: Sequence[bool] | np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(chosen).tolist())


def _count(some: Sequence[int], what: str = "picture") -> str:
    """For example: 3 pictures (4, 7, 9) have; 1 camera (4) is."""
    shown = ", ".join(map(str, some[:6])) + (", ..." if len(some) > 6 else "")
    verb = {"picture": ("has", "have"), "camera": ("is", "are")}[what][len(some) != 1]
    return f"{len(some)} {what}{'' if len(some) == 1 else 's'} ({shown}) {verb}"
