"""Every form of capture: a known point is seen where the camera that was read says it is."""

import json

import balls
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from rodin_jax import cameras
from rodin_jax.data.capture import CaptureError, read_capture
from rodin_jax.data.images import encode_png

WIDTH, HEIGHT = 96, 80
FOCAL, CENTRE = (110.0, 108.0), (49.0, 39.0)
GLOBAL = {"fl_x": 110.0, "fl_y": 108.0, "cx": 49.0, "cy": 39.0, "w": WIDTH, "h": HEIGHT}
CUBE = {"scale": 0.5, "offset": [0.5, 0.5, 0.5], "aabb_scale": 1}
COUNT = 5


def views(count=COUNT, focal=FOCAL, centre=CENTRE, **lens):
    """(pictures, poses) of the balls."""
    poses = balls.poses(count)
    return [balls.draw(pose, WIDTH, HEIGHT, focal, centre, **lens) for pose in poses], poses


def matrices(poses):
    return [{"transform_matrix": pose.tolist()} for pose in poses]


def worst(capture, points=balls.CENTRES):
    """Largest distance in pixels of a ball from where its camera projects it; nearest ball size."""
    distances = []
    for i, picture in enumerate(capture.images):
        camera = jax.tree.map(lambda x, i=i: x[i], capture.cameras)
        wanted = np.asarray(cameras.project(camera, jnp.asarray(points, jnp.float32)))
        for ball, x, y in balls.find(picture):
            others = np.delete(np.hypot(*(wanted - wanted[ball]).T), ball)
            alone = others.min() > 2.5 * balls.RADIUS
            near = np.min([wanted[ball], (WIDTH, HEIGHT) - wanted[ball]]) < 2 * balls.RADIUS
            if alone and not near:
                distances.append(np.hypot(*(wanted[ball] - (x, y))))
    assert len(distances) > 2 * len(capture.images), "the balls are hardly seen"
    return max(distances)


def test_nerf_synthetic(tmp_path):
    angle = 0.8
    focal = WIDTH / 2 / np.tan(angle / 2)
    pictures, poses = views(focal=(focal, focal), centre=(WIDTH / 2, HEIGHT / 2))
    for split, part in (("train", slice(0, 3)), ("val", slice(3, 4)), ("test", slice(4, 5))):
        frames = [{**frame, "rotation": 0.01} for frame in matrices(poses[part])]
        fields = {"camera_angle_x": angle}
        name = f"transforms_{split}.json"
        balls.write(tmp_path, pictures[part], frames, fields, name, f"./{split}", "")
    capture = read_capture(tmp_path)
    assert {k: v.tolist() for k, v in capture.splits.items()} == {
        "train": [0, 1, 2], "val": [3], "test": [4],
    }  # fmt: skip
    assert capture.source.format == "NeRF-synthetic"
    assert capture.source.placement.reason == "as it is"
    np.testing.assert_allclose(capture.cameras.pose, poses, atol=1e-6)
    assert worst(capture) < 0.1


def test_instant_ngp_scale_offset_and_box(tmp_path):
    pictures, poses = views()
    scale, offset, edge = 0.4, np.array([0.45, 0.6, 0.5]), 2
    # The balls where instant-ngp's own formula has them after the road into its box and the cube.
    to_file = lambda cube: (cube * edge / 2 + 0.5 - offset) / scale  # noqa: E731
    poses = poses.copy()
    poses[:, :3, 3] = to_file(poses[:, :3, 3])
    fields = {**GLOBAL, "scale": scale, "offset": offset.tolist(), "aabb_scale": edge}
    capture = read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))
    assert capture.source.format == "instant-ngp" and capture.source.placement.reason == "fields"
    assert worst(capture) < 0.1
    half, middle = edge / 2 / scale, to_file(np.zeros(3))  # the same as two corners
    fields = {**GLOBAL, "aabb": [(middle - half).tolist(), (middle + half).tolist()]}
    again = read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))
    np.testing.assert_allclose(again.cameras.pose, capture.cameras.pose, atol=1e-5)


def test_a_single_number_is_an_offset_too_and_degrees_a_focal_length(tmp_path):
    pictures, poses = views(focal=(110, 110), centre=(WIDTH / 2, HEIGHT / 2))
    fields = {**CUBE, "offset": 0.5, "x_fov": np.degrees(2 * np.arctan(WIDTH / 220))}
    assert worst(read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))) < 0.1


def test_intrinsics_frame_by_frame(tmp_path):
    poses, pictures, frames = balls.poses(COUNT), [], []
    for i, pose in enumerate(poses):
        focal, centre = (100 + 5 * i, 112 - 4 * i), (46 + i, 38 + i)
        pictures.append(balls.draw(pose, WIDTH, HEIGHT, focal, centre))
        own = dict(zip(("fl_x", "fl_y", "cx", "cy"), focal + centre, strict=True))
        frames.append({"transform_matrix": pose.tolist(), "w": WIDTH, "h": HEIGHT, **own})
    capture = read_capture(balls.write(tmp_path, pictures, frames, CUBE))
    np.testing.assert_array_equal(capture.cameras.focal[:, 0], 100 + 5 * np.arange(COUNT))
    assert worst(capture) < 0.1


LENSES = {
    "barrel": ({"k1": -0.25, "k2": 0.06, "p1": 0.004, "p2": -0.006}, False),
    "pincushion": ({"k1": 0.2, "k2": 0.05, "p1": -0.003}, False),
    "third term": ({"k1": -0.2, "k2": 0.05, "k3": -0.01, "camera_model": "OPENCV"}, False),
    "rational": ({"k1": 0.1, "k4": 0.25, "k5": 0.02, "camera_model": "FULL_OPENCV"}, False),
    "fisheye": ({"k1": 0.03, "k2": -0.01, "camera_model": "OPENCV_FISHEYE"}, True),
    "fisheye of instant-ngp": ({"k1": -0.05, "k4": 0.01, "is_fisheye": True}, True),
    "fisheye without coefficients": ({"is_fisheye": True}, True),
}


def opencv_order(fields, fisheye):
    names = (
        ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    )
    return tuple(float(fields.get(name, 0)) for name in names)


@pytest.mark.parametrize("case", LENSES)
@pytest.mark.parametrize("place", ["file", "frame"])
def test_distortion_is_undone(tmp_path, case, place):
    fields, fisheye = LENSES[case]
    focal = (60.0, 59.0)  # wide, so that there is something to undo
    lens = {"distortion": opencv_order(fields, fisheye), "fisheye": fisheye}
    poses = balls.poses(COUNT, radius=2.3)
    pictures = [balls.draw(pose, WIDTH, HEIGHT, focal, CENTRE, **lens) for pose in poses]
    own = {"fl_x": focal[0], "fl_y": focal[1], "cx": CENTRE[0], "cy": CENTRE[1]}
    frames = matrices(poses)
    if place == "frame":
        frames = [{**frame, **own, **fields} for frame in frames]
        capture = read_capture(balls.write(tmp_path, pictures, frames, CUBE))
    else:
        capture = read_capture(
            balls.write(tmp_path, pictures, frames, {**GLOBAL, **own, **CUBE, **fields})
        )
    straight = CUBE | {"fl_x": focal[0], "fl_y": focal[1], "cx": CENTRE[0], "cy": CENTRE[1]}
    ignored = read_capture(balls.write(tmp_path / "ignored", pictures, matrices(poses), straight))
    assert worst(ignored) > 0.4  # what it would be if nothing were done
    assert worst(capture) < 0.15
    assert capture.source.lenses[0].startswith("fisheye" if fisheye else "opencv")
    assert capture.images.shape == (COUNT, HEIGHT, WIDTH, 4)


def test_an_undone_picture_has_no_empty_border_and_a_still_one_is_untouched(tmp_path):
    poses = balls.poses(2)
    grey = [np.full((HEIGHT, WIDTH, 3), 99, np.uint8)] * 2
    for i, k1 in enumerate((-0.2, 0.3, 0.0)):
        fields = {**GLOBAL, **CUBE, "fl_x": 60, "fl_y": 60, "k1": k1}
        capture = read_capture(balls.write(tmp_path / str(i), grey, matrices(poses), fields))
        assert (capture.images == [99, 99, 99, 255]).all()
    np.testing.assert_array_equal(capture.cameras.focal, 60)


def masked(tmp_path, place, poses, pictures, change=lambda mask: mask):
    """Opaque pictures over noise and masks of their own."""
    noise = np.random.default_rng(0).integers(0, 256, pictures[0].shape[:2] + (3,), np.uint8)
    plain = [np.where(p[..., 3:] > 127, p[..., :3], noise) for p in pictures]
    root = balls.write(tmp_path, plain, matrices(poses), {**GLOBAL, **CUBE})
    file = root / "transforms.json"
    content = json.loads(file.read_text())
    for i, picture in enumerate(pictures):
        path = root / place.format(i=f"{i:03d}")
        path.parent.mkdir(exist_ok=True, parents=True)
        mask = change(np.where(picture[..., 3] > 127, 255, 0).astype(np.uint8))
        Image.fromarray(mask).save(path)
        if "mask_path" in place:
            content["frames"][i]["mask_path"] = place.format(i=f"{i:03d}")
    file.write_text(json.dumps(content))
    return root


MASKS = ("mask_path/{i}.png", "masks/{i}.png", "images/masks/{i}.png", "masks/images/{i}.png",
         "masks/{i}.png.png", "images/{i}.alpha.png")  # fmt: skip


@pytest.mark.parametrize("place", MASKS)
def test_masks_become_alpha(tmp_path, place):
    pictures, poses = views()
    capture = read_capture(masked(tmp_path, place, poses, pictures))
    assert capture.source.masks and capture.has_alpha
    want = np.stack([p[..., 3] > 127 for p in pictures])
    np.testing.assert_array_equal(capture.images[..., 3], np.where(want, 255, 0))
    assert worst(capture) < 0.3


def test_masks_of_zeros_and_ones_and_of_one_bit(tmp_path):
    pictures, poses = views(2)
    for i, change in enumerate((lambda m: m // 255, lambda m: m > 0)):
        capture = read_capture(masked(tmp_path / str(i), MASKS[1], poses, pictures, change))
        assert set(np.unique(capture.images[..., 3])) == {0, 255}


def test_masks_must_be_of_all_pictures_and_of_their_size(tmp_path):
    pictures, poses = views(3)
    root = masked(tmp_path, MASKS[1], poses, pictures)
    (root / "masks/001.png").write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(CaptureError, match=r"frames\[1\].mask_path: 001.png is 4 x 4 pixels"):
        read_capture(root)
    (root / "masks/001.png").unlink()
    with pytest.raises(CaptureError, match=r"frames\[1\].mask_path: .* has no mask like '000.png'"):
        read_capture(root)


def test_a_mask_is_undistorted_with_its_picture(tmp_path):
    lens = {"distortion": (-0.2, 0.05, 0.0, 0.0)}
    poses = balls.poses(3, radius=2.3)
    pictures = [balls.draw(p, WIDTH, HEIGHT, (60.0, 59.0), CENTRE, **lens) for p in poses]
    root = masked(tmp_path, MASKS[1], poses, pictures)
    content = json.loads((root / "transforms.json").read_text())
    content |= {"fl_x": 60.0, "fl_y": 59.0, "k1": -0.2, "k2": 0.05}
    (root / "transforms.json").write_text(json.dumps(content))
    capture = read_capture(root)
    assert worst(capture) < 0.3
    colours = capture.images[capture.images[..., 3] > 250][:, :3].astype(int)
    nearest = np.abs(colours[:, None] - balls.COLOURS).max(-1).min(-1)
    assert (nearest < 70).mean() > 0.97  # no background inside the silhouettes


def test_transparent_colours_of_instant_ngp(tmp_path):
    pictures, poses = views(2)
    white = [np.where(p[..., 3:] == 255, p[..., :3], 255).astype(np.uint8) for p in pictures]
    fields = {**GLOBAL, **CUBE, "white_transparent": True}
    capture = read_capture(balls.write(tmp_path, white, matrices(poses), fields))
    np.testing.assert_array_equal(capture.images[..., 3] > 0, np.stack(pictures)[..., 3] == 255)


def test_nerfstudio_form(tmp_path):
    pictures, poses = views()
    fields = {**GLOBAL, "camera_model": "OPENCV", "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
              "train_filenames": ["./images/000.png", "images/001.png", "images/004.png"],
              "test_filenames": ["images/002.png"], "val_filenames": []}  # fmt: skip
    frames = [{"colmap_im_id": i, **frame} for i, frame in enumerate(matrices(poses))]
    capture = read_capture(balls.write(tmp_path, pictures, frames, fields))
    assert capture.source.format == "nerfstudio"
    assert capture.source.names == tuple(f"images/{i:03d}.png" for i in (0, 1, 2, 4))
    assert {k: v.tolist() for k, v in capture.splits.items()} == {"train": [0, 1, 3], "test": [2]}
    assert worst(capture) < 0.1
    # The poses have been transformed by nerfstudio already; its record of that moves nothing.
    turn = [[0, 1, 0, 5], [1, 0, 0, 0], [0, 0, -1, 2]]
    fields |= {"applied_transform": turn, "applied_scale": 0.3}
    again = read_capture(balls.write(tmp_path, pictures, frames, fields))
    np.testing.assert_array_equal(again.cameras.pose, capture.cameras.pose)


def test_named_splits_need_not_name_the_training_files_but_must_name_files(tmp_path):
    pictures, poses = views(3)
    fields = {**GLOBAL, **CUBE, "test_filenames": ["images/001.png"]}
    capture = read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))
    assert {k: v.tolist() for k, v in capture.splits.items()} == {"train": [0, 2], "test": [1]}
    fields["test_filenames"] = ["images/009.png"]
    with pytest.raises(CaptureError, match=r"test_filenames: 'images/009\.png' is no frame's"):
        read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))


def test_a_fisheye_wider_than_any_plane(tmp_path):
    lens = {"distortion": (0.0, 0.0, 0.0, 0.0), "fisheye": True}
    poses = balls.poses(COUNT, radius=1.5)
    focal = (30.0, 30.0)  # 183 degrees across
    pictures = [balls.draw(pose, WIDTH, HEIGHT, focal, CENTRE, **lens) for pose in poses]
    own = {**GLOBAL, **CUBE, "fl_x": 30.0, "fl_y": 30.0, "is_fisheye": True}
    capture = read_capture(balls.write(tmp_path, pictures, matrices(poses), own))
    corner = np.hypot(*(np.array([WIDTH, HEIGHT]) / 2 / np.asarray(capture.cameras.focal[0])))
    assert corner < 2.1 and worst(capture) < 0.5


def test_file_names_without_extension_and_as_windows_writes_them(tmp_path):
    pictures, poses = views(2)
    root = balls.write(tmp_path, pictures, matrices(poses), {**GLOBAL, **CUBE}, end="")
    content = json.loads((root / "transforms.json").read_text())
    for i, (name, end) in enumerate((("images\\000", "jpg"), ("images/001", "jpeg"))):
        content["frames"][i]["file_path"] = name
        path = root / "images" / f"{i:03d}.png"
        Image.open(path).convert("RGB").save(path.with_suffix(f".{end}"), quality=99)
        path.unlink()
    (root / "transforms.json").write_text(json.dumps(content))
    capture = read_capture(root)
    assert capture.images.shape[0] == 2 and not capture.has_alpha


def test_pictures_are_not_turned_by_exif(tmp_path):
    pictures, poses = views(2)
    root = balls.write(tmp_path, pictures, matrices(poses), {**GLOBAL, **CUBE})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pictures[0]).save(root / "images/000.png", exif=exif)
    np.testing.assert_array_equal(read_capture(root).images, pictures)


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize(
    ("grow", "move"), [(0.04, (0, 0, 0)), (7.0, (30, -20, 5)), (1.6, (1, 1, 0))]
)
def test_a_capture_without_a_frame_is_framed(tmp_path, alpha, grow, move):
    pictures, poses = views(12)
    poses = poses.copy()
    poses[:, :3, 3] = poses[:, :3, 3] * grow + move
    if not alpha:
        pictures = [np.where(p[..., 3:] > 127, p[..., :3], 80) for p in pictures]
    capture = read_capture(balls.write(tmp_path, pictures, matrices(poses), GLOBAL))
    placement = capture.source.placement
    assert placement.reason == ("silhouettes" if alpha else "cameras")
    points = (balls.CENTRES * grow + move) * placement.scale + np.array(placement.shift)
    assert np.abs(points).max() < 1.0
    assert np.ptp(points, axis=0).max() > (1.3 if alpha else 0.8)  # it fills the cube
    assert worst(capture, points) < (0.1 if alpha else 0.3)
    # What was found, written into the file, says the same.
    fields = {**GLOBAL, **placement.as_fields()}
    again = read_capture(balls.write(tmp_path, pictures, matrices(poses), fields))
    np.testing.assert_allclose(again.cameras.pose, capture.cameras.pose, rtol=1e-4, atol=1e-3)


def test_what_is_in_the_cube_already_stays_where_it_is(tmp_path):
    pictures, poses = views(12)
    capture = read_capture(balls.write(tmp_path, pictures, matrices(poses), GLOBAL))
    assert capture.source.placement.reason == "as it is"
    np.testing.assert_allclose(capture.cameras.pose, poses, atol=1e-6)


def test_frames_of_reference_must_not_differ_between_splits(tmp_path):
    pictures, poses = views(2)
    balls.write(tmp_path, pictures, matrices(poses), {**GLOBAL, **CUBE}, "transforms_train.json")
    balls.write(tmp_path, pictures, matrices(poses), GLOBAL, "transforms_test.json")
    with pytest.raises(CaptureError, match=r"transforms_test\.json: has no scale and offset"):
        read_capture(tmp_path)
