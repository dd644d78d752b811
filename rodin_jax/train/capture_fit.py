"""Fits one capture of anything: its planes and a decoder of its own (`rodin fit`)."""

import dataclasses
import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from rodin_jax import metrics, triplanes
from rodin_jax.cameras import Camera
from rodin_jax.data.capture import Capture
from rodin_jax.data.images import on_white
from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import render_view
from rodin_jax.rendering import over
from rodin_jax.train import fitting

OPTIONS = fitting.FitOptions(
    rays=1024, samples=12, empty_points=1024, sparsity=2e-5, smoothness=1e-5, distortion=3e-4,
    variation=0.1, decay=1e-5, grid=64, lowest=1_000_000,
)  # fmt: skip
_CHANNELS, _BLOCK, _STEPS = 16, 20, 2000
# The planes' resolution over the final one, and the share of the fit after which it is left.
_LEVELS = ((4, 0.1), (2, 0.3), (1, 1.0))
_RATE, _DECODER_RATE, _FINAL = 2e-2, 5e-3, 0.03


@dataclasses.dataclass(frozen=True)
class FittedCapture:
    """The outcome of a fit; PSNR in dB on white, null without pictures to measure on."""

    planes: Float[Array, "3 h w c"]
    decoder: decoders.Decoder
    params: dict
    train_psnr: float
    test_psnr: float | None
    test_ssim: float | None
    steps: int
    train_seconds: float
    compile_seconds: float


def fit_capture(
    capture: Capture,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    size: int = 64,
    options: fitting.FitOptions = OPTIONS,
    progress: Callable[[float, float], None] | None = None,
) -> FittedCapture:
    """Fits planes and a decoder to the ``train`` pictures, coarse to fine.

    Ctrl-C ends the fit early and keeps what is fitted so far.

    Args:
      capture: pictures and cameras; where alpha says so, space is known to be empty.
      steps: gradient steps; 2000 if neither limit is given.
      seconds: time limit, without compilation.
      seed: of everything random.
      size: texels along an edge of the planes, a multiple of 4.
      options: weights and sizes; ``lowest`` below ``size`` makes planes that can be read coarsely.
      progress: called with the share done and the current PSNR of training rays.

    Raises:
      ValueError: no subject in any training picture, or the fit did not stay finite.
    """
    train = capture.splits["train"]
    images = np.asarray(capture.images)[train]
    if not (images[..., 3] > 0).any():
        raise ValueError("the capture's training pictures are transparent everywhere")
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    scene = fitting.prepare(jnp.asarray(images), camera, grid=options.grid)
    if not scene.occupancy.occupied.any():
        raise ValueError("the capture's silhouettes have no volume in common inside the cube")
    if steps is None and seconds is None:
        steps = _STEPS
    decoder = decoders.Decoder(width=64, octaves=1)
    planes_key, params_key, key = jax.random.split(jax.random.key(seed), 3)
    params = decoder.init(params_key, jnp.zeros((1, _CHANNELS)), jnp.zeros((1, 3)))["params"]
    planes = fitting.initial_planes(planes_key, size // _LEVELS[0][0], _CHANNELS)

    done, spent, compiled, share, error = 0, 0.0, 0.0, 0.0, 1.0
    found = scene.occupancy
    try:
        for coarseness, until in _LEVELS:
            planes = triplanes.resize(planes, size // coarseness)
            moments = _ADAM.init((planes, params))
            block = functools.partial(_block, decoder, options, scene)
            look = functools.partial(_look, decoder, options.grid, allowed=scene.occupancy)
            # The first run of each program compiles it; its result is not used.
            begin = time.perf_counter()
            jax.block_until_ready(block(found, (planes, params, moments), key, 0.0))
            jax.block_until_ready(look(planes, params))
            compiled += time.perf_counter() - begin
            while share < until:
                begin = time.perf_counter()
                (planes, params, moments), squared = block(
                    found, (planes, params, moments), jax.random.fold_in(key, done), share
                )
                error = float(squared)
                done += _BLOCK
                if done % (5 * _BLOCK) == 0:
                    found = look(planes, params)
                spent += time.perf_counter() - begin
                share = max(done / steps if steps else 0.0, spent / seconds if seconds else 0.0)
                if not np.isfinite(error):
                    raise ValueError(f"the fit is not finite after {done} steps")
                if progress is not None:
                    progress(min(share, 1.0), metrics.decibels(error))
            found = look(planes, params)
    except KeyboardInterrupt:
        if done == 0:
            raise
    planes = triplanes.resize(planes, size)
    test = next(
        (capture.splits[n] for n in ("test", "val") if len(capture.splits.get(n, ()))), None
    )
    shown = functools.partial(measure, capture, decoder, planes, params)
    train_psnr, _ = shown(train[np.linspace(0, len(train) - 1, min(len(train), 8)).astype(int)])
    test_psnr, test_ssim = (None, None) if test is None else shown(test)
    return FittedCapture(
        planes, decoder, params, train_psnr, test_psnr, test_ssim, done, spent, compiled
    )


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.99)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _block(decoder, options, scene: fitting.Scene, found, state, key, share):
    """Some steps at one resolution; rates fall geometrically with the ``share`` done."""
    here = fitting.Scene(scene.images, scene.camera, scene.active, scene.count, found)
    matrices = fitting.rescaling(state[0].shape[-2], options.lowest)
    gradient = jax.value_and_grad(fitting.loss, argnums=(0, 1), has_aux=True)
    fall = _FINAL**share

    def step(state, key):
        planes, params, moments = state
        (_, mse), grads = gradient(
            planes, params, here, key, decoder=decoder, options=options, matrices=matrices
        )
        changes, moments = _ADAM.update(grads, moments)
        planes = planes - _RATE * fall * changes[0]
        params = jax.tree.map(lambda p, c: p - _DECODER_RATE * fall * c, params, changes[1])
        return (planes, params, moments), mse

    state, errors = jax.lax.scan(step, state, jax.random.split(key, _BLOCK))
    return state, errors.mean()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _look(decoder, grid, planes, params, allowed):
    return fitting.look_again(planes, params, allowed, decoder=decoder, grid=grid)


def measure(
    capture: Capture,
    decoder: decoders.Decoder,
    planes: Float[Array, "3 h w c"],
    params: PyTree,
    chosen: Int[np.ndarray, "k"],
) -> tuple[float, float]:
    """Mean PSNR (dB) and SSIM over white of the ``chosen`` pictures."""
    grid = _look(decoder, OPTIONS.grid, planes, params, fitting.whole_cube(OPTIONS.grid))
    height, width = capture.images.shape[1:3]

    @jax.jit
    def draw(camera: Camera):
        field = decoders.field(decoder, params, planes)
        return jnp.clip(over(render_view(field, grid, camera, height, width), 1.0), 0, 1)

    scores = []
    for i in chosen:
        wanted = on_white(capture.images[i])
        drawn = np.asarray(draw(jax.tree.map(lambda x, i=i: x[i], capture.cameras)))
        scores.append((float(metrics.psnr(drawn, wanted)), float(metrics.ssim(drawn, wanted))))
    psnr, ssim = np.mean(scores, axis=0)
    return float(psnr), float(ssim)
