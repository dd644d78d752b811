"""rodin_jax's pinhole cameras as Blender's."""

import numpy as np

_SENSOR = 36.0  # millimetres; any number gives the same picture


def place(camera, pose, focal, centre, size: int) -> None:
    """Makes Blender's camera object project exactly as one camera of `rodin_jax.cameras`.

    Args:
      camera: a Blender object that holds a camera.
      pose: OpenGL camera-to-world matrix [4, 4]; Blender's cameras look along -z too.
      focal: focal lengths (x, y) in pixels, equal.
      centre: principal point (x, y) in pixels, y down.
      size: pixels along each edge of the square picture.

    Raises:
      ValueError: the pixels are not square.
    """
    from mathutils import Matrix

    fx, fy = (float(f) for f in focal)
    if not np.isclose(fx, fy, rtol=1e-5):
        raise ValueError(f"Blender's pixels are square, got focal lengths {fx} and {fy}")
    camera.matrix_world = Matrix(np.asarray(pose, float).tolist())
    lens = camera.data
    lens.type, lens.sensor_fit, lens.sensor_width = "PERSP", "HORIZONTAL", _SENSOR
    lens.lens = fx * _SENSOR / size
    # Shifts move the window over the picture, in picture widths, y up.
    lens.shift_x = 0.5 - float(centre[0]) / size
    lens.shift_y = float(centre[1]) / size - 0.5
    lens.clip_start, lens.clip_end = 0.01, 100.0
