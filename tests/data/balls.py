"""Captures of coloured balls, drawn where OpenCV's own lens model says that they are."""

import json

import cv2
import numpy as np

from rodin_jax.cameras import orbit
from rodin_jax.data.images import encode_png

CENTRES = np.array(
    [[0, 0, 0], [0.6, 0, 0], [0, -0.55, 0], [0, 0, 0.6], [-0.4, 0.45, -0.5], [0.3, -0.3, 0.35]]
)
COLOURS = np.array(
    [[230, 20, 20], [20, 230, 20], [20, 20, 230], [230, 230, 20], [20, 230, 230], [230, 20, 230]]
)
RADIUS = 3.0  # of the discs, in pixels
ZOOM = 6  # draw so much larger, for smooth edges


def poses(count, radius=3.2):
    """Camera-to-world matrices from all round, looking at the origin; float64."""
    azimuth = np.linspace(0, 360, count, endpoint=False)
    elevation = 25 * np.sin(np.radians(azimuth * 2 + 20))
    return np.asarray(orbit(azimuth, elevation, 1, radius=radius).pose, np.float64)


def project(points, pose, focal, centre, distortion=(), fisheye=False):
    """Image coordinates and depths of world points."""
    local = (points - pose[:3, 3]) @ pose[:3, :3] * [1, -1, -1]  # OpenCV: y down, z ahead
    matrix = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1.0]])
    still, given = np.zeros(3), np.array(distortion or [0.0] * 4, np.float64)
    module = cv2.fisheye if fisheye else cv2
    if fisheye:
        flat, _ = module.projectPoints(local[:, None], still, still, matrix, given)
    else:
        flat, _ = module.projectPoints(local, still, still, matrix, given)
    return flat.reshape(-1, 2), local[:, 2]


def draw(pose, width, height, focal, centre, distortion=(), fisheye=False, points=CENTRES):
    """Straight RGBA with a disc for each point, nearest in front."""
    places, depths = project(points, pose, focal, centre, distortion, fisheye)
    y, x = (np.mgrid[: height * ZOOM, : width * ZOOM] + 0.5) / ZOOM
    picture = np.zeros((height * ZOOM, width * ZOOM, 4))
    for i in np.argsort(-depths):
        disc = np.hypot(x - places[i, 0], y - places[i, 1]) < RADIUS
        picture[disc] = [*COLOURS[i], 255]
    picture = picture.reshape(height, ZOOM, width, ZOOM, 4).astype(float)
    alpha = picture[..., 3].mean((1, 3))
    colour = picture[..., :3].sum((1, 3)) / np.maximum((picture[..., 3:] > 0).sum((1, 3)), 1)
    return np.dstack([colour, alpha]).round().astype(np.uint8)


def find(picture):
    """Where each colour is: rows of (ball, x, y), for the balls that are not hidden."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    full = np.pi * RADIUS**2
    found = []
    for i, colour in enumerate(COLOURS):
        like = np.abs(picture[..., :3].astype(int) - colour).max(-1) < 60
        weight = like * (picture[..., 3] / 255)
        if weight.sum() > 0.5 * full:
            found.append((i, (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return found


def write(root, pictures, frames, fields=None, name="transforms.json", folder="images", end=".png"):
    """Writes pictures and one JSON file; frames are dicts without ``file_path``."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    for i, (picture, frame) in enumerate(zip(pictures, frames, strict=True)):
        path = f"{folder}/{i:03d}"
        (root / (path + ".png")).write_bytes(encode_png(picture))
        entries.append({"file_path": path + end, **frame})
    (root / name).write_text(json.dumps({**(fields or {}), "frames": entries}))
    return root
