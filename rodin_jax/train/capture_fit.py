"""Fits one capture of anything: its planes and a decoder of its own (`rodin fit`)."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from rodin_jax import backdrop, metrics, triplanes
from rodin_jax.cameras import image_rays
from rodin_jax.data.capture import Capture
from rodin_jax.data.images import on_white
from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import render_view
from rodin_jax.packing import steps_across
from rodin_jax.rendering import over
from rodin_jax.train import fitting
from rodin_jax.train.scene import Scene, prepare
from rodin_jax.types import pytree

OPTIONS = fitting.FitOptions(
    rays=1024, samples=16, empty_points=256, alpha=0.0, sparsity=0.0, smoothness=0.0,
    distortion=0.0, variation=3e-3, decay=0.0, grid=128, lowest=1_000_000,
)  # fmt: skip
# Without silhouettes what could as well be backdrop must not float.
_OPAQUE = {"sparsity": 1e-4, "distortion": 1e-3}
_DECODERS = {
    "products": (32, decoders.Decoder(octaves=0, form="products")),
    "summed": (16, decoders.Decoder(width=32)),
}
_BLOCK, _STEPS, _SAMPLES = 20, 2000, 32
# Random pixels pull single steps to and fro: what is kept is a running mean over about this share
# of the fit. New texels are worse at first than those they replace: for as long, what was kept
# before stays.
_MEMORY = 0.05
# The planes' resolution over the final one; when it is left, after a share of the fit or, if that
# is sooner, after a step, for coarse planes settle soon, however long the fit is; and rays along
# each side of pixels on edges. Several see what an area shows, but are dear, so fits that have
# taken few steps by then stay with one.
_LEVELS = ((4, 0.1, 400, 1), (2, 0.3, 1400, 1), (1, 1.0, math.inf, 2))
_MANY = 300
# Times as many rays go through pixels on edges as through others, if these are silhouettes' and
# what is inside them; in whole photographs most edges are the room's.
_OFTEN = 5
# Samples follow each other at a texel's width, within these limits.
_STRIDES = (1 / 64, 1 / 16)
_RATE, _DECODER_RATE, _FINAL = 6e-2, 1e-2, 0.03


@pytree
class Learned:
    """What a fit changes.

    Attributes:
      planes: the features.
      params: of the decoder.
      behind: the `backdrop` of pictures without silhouettes; None for those on white.
    """

    planes: Float[Array, "3 h w c"]
    params: PyTree
    behind: Float[Array, "r t 3"] | None


@dataclasses.dataclass(frozen=True)
class FittedCapture:
    """The outcome of a fit.

    Attributes:
      planes: the features.
      decoder: the network that reads them.
      params: its parameters.
      behind: what lies behind the cube, see `backdrop`; None if the pictures have silhouettes.
      split: rays along each side of a pixel that it is to be drawn with.
      train_psnr: of some training pictures, in dB, over white or over the backdrop.
      test_psnr: of the unseen pictures; None without any.
      test_ssim: likewise.
      steps: gradient steps taken.
      train_seconds: they took, without compilation.
      compile_seconds: for compilation.
    """

    planes: Float[Array, "3 h w c"]
    decoder: decoders.Decoder
    params: PyTree
    behind: Float[Array, "r t 3"] | None
    split: int
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
    size: int | None = None,
    form: str = "products",
    options: fitting.FitOptions = OPTIONS,
    progress: Callable[[float, float], None] | None = None,
) -> FittedCapture:
    """Fits planes and a decoder to the ``train`` pictures, coarse to fine.

    Where the pictures are transparent, space is known to be empty. If none of them is anywhere,
    what lies behind the cube is fitted too, as a picture at infinity. Ctrl-C ends the fit early and
    keeps what is fitted so far.

    Args:
      capture: pictures and cameras.
      steps: gradient steps; 2000 if neither limit is given.
      seconds: time limit, without compilation.
      seed: of everything random.
      size: texels along an edge of the planes, a multiple of 4; by default as many as the pictures
        have pixels, from 32 to 128.
      form: of the `Decoder`: ``products`` is the better one, ``summed`` the paper's.
      options: weights and sizes; ``lowest`` below ``size`` makes planes that can be read coarsely.
      progress: called with the share done and the current PSNR of training rays.

    Raises:
      ValueError: no subject in any training picture, or the fit did not stay finite.
    """
    train = capture.splits["train"]
    images = np.asarray(capture.images)[train]
    if not (images[..., 3] > 0).any():
        raise ValueError("the capture's training pictures are transparent everywhere")
    opaque = bool((images[..., 3] == 255).all())
    if opaque:
        options = dataclasses.replace(options, **_OPAQUE)
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    scene = prepare(jnp.asarray(images), camera, grid=options.grid)
    if not scene.occupancy.occupied.any():
        raise ValueError("the capture's silhouettes have no volume in common inside the cube")
    options = dataclasses.replace(options, edges=_share_on_edges(scene, 1 if opaque else _OFTEN))
    areas = opaque or _are_soft(images[..., 3])
    if steps is None and seconds is None:
        steps = _STEPS
    if size is None:
        size = 4 * round(min(max(max(images.shape[1:3]), 32), 128) / 4)
    channels, decoder = _DECODERS[form]
    box = np.asarray(scene.occupancy.box)
    planes_key, params_key, key = jax.random.split(jax.random.key(seed), 3)
    learned = Learned(
        planes=fitting.initial_planes(planes_key, size // _LEVELS[0][0], channels),
        params=decoders.initial(decoder, params_key, channels),
        behind=backdrop.start() if opaque else None,
    )

    done, spent, compiled, share, error = 0, 0.0, 0.0, 0.0, 1.0
    found = scene.occupancy
    mean, kept_split = learned, 1
    try:
        for coarseness, until, most, split in _LEVELS:
            if done:
                found = look(learned.planes, learned.params)
            if not done or learned.planes.shape[1] != size // coarseness:
                learned = _at_size(learned, size // coarseness)
                moments = _ADAM.init(learned)
            settled = share + _MEMORY if done else 0.0
            options = dataclasses.replace(options, split=split if areas and done >= _MANY else 1)
            step = min(max(2 * coarseness / size, _STRIDES[0]), _STRIDES[1])
            stride = fitting.Stride(step, steps_across(box, step))
            block = functools.partial(_block, decoder, options, stride, scene)
            look = functools.partial(_look, decoder, options.grid, allowed=scene.occupancy)
            # The first run of each program compiles it; its result is not used.
            begin = time.perf_counter()
            jax.block_until_ready(block(found, (learned, moments), key, 0.0))
            jax.block_until_ready(look(learned.planes, learned.params))
            compiled += time.perf_counter() - begin
            while share < until and done < most:
                begin = time.perf_counter()
                (learned, moments), squared = block(
                    found, (learned, moments), jax.random.fold_in(key, done), share
                )
                error = float(squared)
                done += _BLOCK
                if done % (5 * _BLOCK) == 0:
                    found = look(learned.planes, learned.params)
                spent += time.perf_counter() - begin
                before, share = share, _share_done(done, steps, spent, seconds)
                if share >= settled:
                    mean = _at_size(mean, learned.planes.shape[1])
                    mean = _nearer(mean, learned, min((share - before) / _MEMORY, 1.0))
                    kept_split = options.split
                if not np.isfinite(error):
                    raise ValueError(f"the fit is not finite after {done} steps")
                if progress is not None:
                    progress(min(share, 1.0), metrics.decibels(error))
    except KeyboardInterrupt:
        if done == 0:
            raise
    learned = _at_size(mean, size)
    test = next(
        (capture.splits[n] for n in ("test", "val") if len(capture.splits.get(n, ()))), None
    )
    chosen = train[np.linspace(0, len(train) - 1, min(len(train), 8)).astype(int)]
    shown = chosen if test is None else np.concatenate([chosen, test])
    psnr, ssim = _scores(
        capture, decoder, learned.planes, learned.params, shown, learned.behind, options.grid,
        kept_split,
    ).T  # fmt: skip
    seen = len(chosen)
    train_psnr = float(psnr[:seen].mean())
    test_psnr, test_ssim = (
        (None, None) if test is None else (float(psnr[seen:].mean()), float(ssim[seen:].mean()))
    )
    return FittedCapture(
        learned.planes, decoder, learned.params, learned.behind, kept_split, train_psnr,
        test_psnr, test_ssim, done, spent, compiled,
    )  # fmt: skip


def _share_done(done: int, steps: int | None, spent: float, seconds: float | None) -> float:
    return max(done / steps if steps else 0.0, spent / seconds if seconds else 0.0)


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.99)


def _share_on_edges(scene: Scene, often: int) -> float:
    """Of rays that go through edges, in sixteenths, so that captures share programs."""
    edges, others = often * int(scene.edges), int(scene.count) - int(scene.edges)
    return round(16 * edges / (edges + others)) / 16


def _are_soft(alpha: UInt8[np.ndarray, "n h w"]) -> bool:
    """Whether silhouettes are soft, so pixels show areas and not what is in their middles."""
    inside = alpha > 127
    rim = inside[:, 1:] != inside[:, :-1]
    between = ((alpha > 0) & (alpha < 255)).sum()
    return bool(between > 0.75 * rim.sum())


def _at_size(learned: Learned, size: int) -> Learned:
    return dataclasses.replace(learned, planes=triplanes.resize(learned.planes, size))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _block(decoder, options, stride, scene: Scene, found, state, key, share):
    """Some steps at one resolution; rates fall geometrically with the ``share`` done."""
    here = dataclasses.replace(scene, occupancy=found)
    matrices = fitting.rescaling(state[0].planes.shape[-2], options.lowest)
    fall = _FINAL**share

    def loss(learned, key):
        return fitting.loss(
            learned.planes, learned.params, here, key, decoder=decoder, options=options,
            matrices=matrices, behind=learned.behind, stride=stride,
        )  # fmt: skip

    def step(state, key):
        learned, moments = state
        (_, mse), slope = jax.value_and_grad(loss, has_aux=True)(learned, key)
        changes, moments = _ADAM.update(slope, moments)
        changes = jax.tree.map(lambda c: -_RATE * fall * c, changes)
        slower = jax.tree.map(lambda c: c * (_DECODER_RATE / _RATE), changes.params)
        changes = dataclasses.replace(changes, params=slower)
        return (optax.apply_updates(learned, changes), moments), mse

    state, errors = jax.lax.scan(step, state, jax.random.split(key, _BLOCK))
    return state, errors.mean()


@jax.jit
def _nearer(mean: Learned, learned: Learned, share) -> Learned:
    return jax.tree.map(lambda a, b: a + share * (b - a), mean, learned)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _look(decoder, grid, planes, params, allowed):
    return fitting.look_again(planes, params, allowed, decoder=decoder, grid=grid)


def measure(
    capture: Capture,
    decoder: decoders.Decoder,
    planes: Float[Array, "3 h w c"],
    params: PyTree,
    chosen: Int[np.ndarray, "k"],
    *,
    behind: Float[Array, "r t 3"] | None = None,
    grid: int = OPTIONS.grid,
    split: int = 1,
) -> tuple[float, float]:
    """Mean PSNR (dB) and SSIM of the ``chosen`` pictures, over white or the backdrop."""
    psnr, ssim = _scores(capture, decoder, planes, params, chosen, behind, grid, split).mean(0)
    return float(psnr), float(ssim)


def _scores(capture, decoder, planes, params, chosen, behind, grid, split):
    """PSNR and SSIM of each picture, ``[k, 2]``, from planes alone: what the hull hid is seen."""
    found = _search(decoder, grid, planes, params)
    height, width = capture.images.shape[1:3]

    scores = []
    for i in chosen:
        wanted = on_white(capture.images[i])
        camera = jax.tree.map(lambda x, i=i: x[i], capture.cameras)
        drawn = _draw(decoder, height, width, split, planes, params, behind, found, camera)
        drawn = np.asarray(drawn)
        scores.append((float(metrics.psnr(drawn, wanted)), float(metrics.ssim(drawn, wanted))))
    return np.array(scores)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(decoder, height, width, split, planes, params, behind, found, camera):
    """A view, ``[height, width, 3]``, over white or the backdrop."""
    field = decoders.field(decoder, params, planes)
    background = 1.0
    if behind is not None:
        background = backdrop.look(behind, image_rays(camera, height, width).directions)
    view = render_view(field, found, camera, height, width, samples=_SAMPLES, split=split)
    return jnp.clip(over(view, background), 0, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _search(decoder, grid, planes, params):
    return fitting.look_closely(planes, params, decoder=decoder, grid=grid)
