"""The base U-Net: symmetries, conditioning, ablations, precision and the paper's size."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import awake, build, gradient_of_power, quick_jit

from rodin_jax.nn import attention
from rodin_jax.nn.attention import RollOutAttention
from rodin_jax.nn.blocks import ResBlock, depth_to_space, space_to_depth
from rodin_jax.nn.embedding import timestep_embedding
from rodin_jax.nn.norm import AdaptiveNorm
from rodin_jax.nn.unet import UNet

TINY = dict(out_channels=4, channels=8, multipliers=(1, 2), blocks=1, attention=(4,))
tiny = functools.partial(UNet, **TINY, head_channels=8)


def inputs(batch=2, size=8, channels=2):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (batch, 3, size, size, channels))
    return x, jnp.arange(batch) * 300 + 7, jax.random.normal(keys[1], (batch, 6))


@pytest.fixture(scope="module")
def default():
    return build(tiny(), *inputs())


def test_starts_at_zero_and_has_the_contract_shape():
    x, t, z = inputs()
    net = UNet(4, 8, (1, 1), 1, (4,), head_channels=8, conv="plane")
    out, _ = quick_jit(net.init_with_output)(jax.random.key(0), x, t, z)
    assert out.shape == (2, 3, 8, 8, 4)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, 0)


def test_the_null_latent_is_zero_and_time_and_latent_matter(default):
    apply, params = default
    x, t, z = inputs()
    out = apply(params, x, t, z)
    null = apply(params, x, t, jnp.zeros_like(z))
    np.testing.assert_allclose(apply(params, x, t, None), null, atol=1e-5)
    assert jnp.abs(out - null).max() > 1e-2
    assert jnp.abs(out - apply(params, x, t + 100, z)).max() > 1e-2


def test_examples_of_a_batch_are_independent(default):
    apply, params = default
    x, t, z = inputs()
    other = apply(params, x.at[1].add(1.0), t.at[1].set(0), z.at[1].set(0.0))
    np.testing.assert_allclose(other[0], apply(params, x, t, z)[0], atol=1e-5)


def test_every_parameter_receives_a_gradient(default):
    apply, params = default
    gradient = gradient_of_power(apply, params, *inputs())
    for path, g in jax.tree.leaves_with_path(gradient):
        assert jnp.isfinite(g).all() and jnp.abs(g).max() > 0, jax.tree_util.keystr(path)


def test_plane_embedding_breaks_the_cyclic_symmetry(default):
    """The blind network would learn avatars in three orientations; the shipped one does not."""
    x, t, z = inputs()

    def asymmetry(apply, params):
        turned = apply(params, jnp.roll(x, 1, axis=1), t, z)
        return jnp.abs(turned - jnp.roll(apply(params, x, t, z), 1, axis=1)).max()

    assert asymmetry(*build(tiny(plane_embedding=False), x, t, z)) < 1e-4
    assert asymmetry(*default) > 1e-2


@pytest.mark.parametrize(
    ("conv", "attention", "linked"),
    [("aware", (), True), ("plane", (), False), ("plane", (4,), True), ("concat", (), True)],
)
def test_which_planes_hear_each_other(conv, attention, linked):
    """Without contexts and attention a change in plane 1 must not reach plane 0."""
    x, t, z = inputs(1)
    net = UNet(**(TINY | dict(attention=attention)), head_channels=8, conv=conv)
    apply, params = build(net, x, t, z)
    changed = x.at[:, 1].multiply(jnp.linspace(0.5, 2, 8)[:, None, None])
    effect = jnp.abs(apply(params, changed, t, z) - apply(params, x, t, z)).max((0, 2, 3, 4))
    assert effect[1] > 1e-2
    assert (effect[0] > 1e-4) == linked


@pytest.mark.parametrize("conv", ["aware", "concat"])
def test_patches_are_texels_of_more_channels(conv):
    """Patches of 2x2 texels: the same weights, seen as planes of half the size."""
    x, t, z = inputs(1)
    net = tiny(conv=conv, patch=2, multipliers=(1,))
    apply, params = build(net, x, t, z)
    coarse = tiny(conv=conv, multipliers=(1,), out_channels=4 * net.out_channels)
    wanted = quick_jit(coarse.apply)(params, space_to_depth(x, 2), t, z)
    np.testing.assert_allclose(apply(params, x, t, z), depth_to_space(wanted, 2), atol=1e-5)


@pytest.mark.parametrize("conv", ["aware", "concat"])
def test_the_linear_path_adds_a_filter_of_the_planes_that_knows_the_time(conv):
    x, t, z = inputs()
    net = tiny(conv=conv, patch=2, multipliers=(1,), linear_path=True)
    apply, params = build(net, x, t, z)
    weights = dict(params["params"])
    weights["conv_out"] = jax.tree.map(jnp.zeros_like, weights["conv_out"])

    def alone(x, t=t):
        return apply({"params": weights}, x, t, z)

    still = alone(jnp.zeros_like(x))
    np.testing.assert_allclose(
        alone(x + x[::-1]), alone(x) + alone(x[::-1]) - still, atol=1e-5, rtol=1e-5
    )
    assert jnp.abs(alone(x) - alone(x, t + 100)).max() > 1e-2
    silent = weights | {"linear": jax.tree.map(jnp.zeros_like, weights["linear"])}
    assert not apply({"params": silent}, x, t, z).any()
    without = {k: v for k, v in params["params"].items() if k != "linear"}
    plain = quick_jit(tiny(conv=conv, patch=2, multipliers=(1,)).apply)(
        {"params": without}, x, t, z
    )
    np.testing.assert_allclose(apply(params, x, t, z), plain + alone(x), atol=1e-5)


def test_a_position_embedding_is_added_to_the_first_features(default):
    plain, params = default
    x, t, z = inputs()
    weights = dict(params["params"]) | {"position": jnp.zeros((3, 8, 8, 8))}
    apply = quick_jit(tiny(position_embedding=True).apply)
    np.testing.assert_allclose(
        apply({"params": weights}, x, t, z), plain(params, x, t, z), atol=1e-5
    )
    # The same everywhere, it is a bias; at one place, it is felt there most.
    bias = weights["conv_in"]["aware"]["bias"]
    shifted = weights | {"conv_in": {"aware": weights["conv_in"]["aware"] | {"bias": bias + 0.3}}}
    everywhere = weights | {"position": jnp.full((3, 8, 8, 8), 0.3)}
    wanted = plain({"params": {k: v for k, v in shifted.items() if k != "position"}}, x, t, z)
    np.testing.assert_allclose(apply({"params": everywhere}, x, t, z), wanted, atol=1e-5)
    there = weights | {"position": weights["position"].at[1, 2, 5].set(3.0)}
    change = jnp.abs(apply({"params": there}, x, t, z) - plain(params, x, t, z)).mean((0, -1))
    assert jnp.unravel_index(change.argmax(), change.shape)[0] == 1
    assert change[1, 1:4, 4:7].mean() > 2 * change.mean()


@pytest.mark.parametrize("norm", ["plane", "joint"])
def test_convolution_of_the_roll_out_leaks_across_its_seams(norm):
    """The left column of plane 1 touches the right column of plane 0 on the roll-out."""
    x, embedding = jax.random.normal(jax.random.key(0), (1, 3, 6, 6, 4)), jnp.ones((1, 3, 5))
    for conv, leaks in (("rolled", True), ("plane", False)):
        block = ResBlock(4, conv=conv, norm=norm)
        apply, params = build(block, x, embedding)
        bump = x.at[0, 1, 3, 0].add(jnp.array([1, -1, 1, -1]))  # keeps its group's mean
        effect = jnp.abs(apply(params, bump, embedding) - apply(params, x, embedding))[0, 0, 3]
        # Statistics reach every texel; a leak is what the seam sees and the far column does not.
        assert (effect[-1].max() > effect[0].max() + 0.1) == leaks


def test_remat_and_bfloat16_are_the_same_network(default):
    apply, params = default
    x, t, z = inputs()
    out = apply(params, x, t, z)
    np.testing.assert_allclose(quick_jit(tiny(remat=True).apply)(params, x, t, z), out, atol=1e-4)
    half = quick_jit(tiny(dtype=jnp.bfloat16).apply)(params, x, t, z)
    assert half.dtype == jnp.float32
    assert jnp.abs(half - out).mean() < 0.05 * jnp.abs(out).mean()


def test_dropout_needs_a_key_and_only_acts_in_training():
    x, embedding = jnp.ones((1, 3, 4, 4, 8)), jnp.ones((1, 3, 5))
    block = ResBlock(8, conv="plane", dropout=0.5)
    apply, params = build(block, x, embedding)
    train = quick_jit(
        lambda key: block.apply(params, x, embedding, deterministic=False, rngs={"dropout": key})
    )
    plain = quick_jit(ResBlock(8, conv="plane").apply)(params, x, embedding)
    np.testing.assert_allclose(apply(params, x, embedding), plain, atol=1e-6)
    assert jnp.abs(train(jax.random.key(0)) - train(jax.random.key(1))).max() > 1e-2


def count(net, *shapes):
    init = jax.eval_shape(net.init, jax.random.key(0), *(jnp.zeros(s) for s in shapes))
    return sum(p.size for p in jax.tree.leaves(init))


def test_the_papers_configuration_has_the_papers_size():
    """ADM's U-Net at 64 and 192 channels holds 295.3 M parameters; ours adds 3D awareness."""
    net = UNet(64, 192, (1, 2, 3, 4), 3, (8, 16, 32), head_channels=64, aware_everywhere=False)
    shapes = (1, 3, 64, 64, 32), (1,), (1, 512)
    assert 290e6 < count(net, *shapes) < 315e6


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        (tiny(conv="typo"), 8, "conv must be"),
        (tiny(norm="typo"), 8, "norm must be"),
        (tiny(multipliers=(1, 1, 1, 1, 1)), 8, "expected multiples"),
        (tiny(patch=3), 8, "expected multiples"),
        (UNet(4, 8, (1,), 1, (8,), head_channels=5), 8, "heads of 5"),
    ],
)
def test_bad_hyper_parameters_are_named(net, size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), *inputs(1, size))


def test_group_norm_statistics():
    """Per plane, scales 1/5/1 are evened out; jointly they stay (and so do the means)."""
    x = jax.random.normal(jax.random.key(0), (2, 3, 16, 16, 8))
    x = x * jnp.array([1.0, 5.0, 1.0])[:, None, None, None] + 3
    params = {"params": {"scale": jnp.ones(8), "bias": jnp.zeros(8)}}
    plane = quick_jit(AdaptiveNorm("plane", groups=2).apply)(params, x)
    groups = np.asarray(plane).reshape(2, 3, -1, 2, 4)
    np.testing.assert_allclose(groups.mean((2, 4)), 0, atol=1e-4)
    np.testing.assert_allclose(groups.std((2, 4)), 1, atol=1e-3)
    joint = quick_jit(AdaptiveNorm("joint", groups=2).apply)(params, x)
    np.testing.assert_allclose(np.asarray(joint).std((0, 2, 3, 4)), [0.33, 1.67, 0.33], atol=0.1)


def test_adaptive_norm_is_scale_and_shift_of_the_normalised_input():
    x = jax.random.normal(jax.random.key(0), (1, 3, 4, 4, 8))
    embedding = jax.random.normal(jax.random.key(1), (1, 3, 5))
    layer = AdaptiveNorm()
    params = awake(layer, x, embedding)
    plain = {"params": {k: params["params"][k] for k in ("scale", "bias")}}
    dense = params["params"]["modulation"]
    s, b = jnp.split(embedding @ dense["kernel"] + dense["bias"], 2, axis=-1)
    expected = quick_jit(layer.apply)(plain, x) * (1 + s[:, :, None, None]) + b[:, :, None, None]
    out = quick_jit(layer.apply)(params, x, embedding)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_attention_is_permutation_equivariant_over_all_tokens():
    """The tokens of the three planes are one set: shuffling them shuffles the result."""
    x = jax.random.normal(jax.random.key(0), (1, 3, 2, 2, 8))
    # Joint statistics, so that the normalisation does not care which plane a token is on.
    layer = RollOutAttention(head_channels=4, norm="joint")
    params = awake(layer, x)
    order = jax.random.permutation(jax.random.key(2), 12)

    def shuffle(planes):
        return planes.reshape(1, 12, 8)[:, order].reshape(planes.shape)

    apply = quick_jit(layer.apply)
    np.testing.assert_allclose(apply(params, shuffle(x)), shuffle(apply(params, x)), atol=1e-5)


@pytest.mark.parametrize(
    ("capability", "dtype", "head_channels", "wanted"),
    [
        ("9.0", jnp.bfloat16, 64, "cudnn"),
        ("8.0", jnp.float16, 128, "cudnn"),
        ("7.5", jnp.bfloat16, 64, None),
        ("gfx942", jnp.bfloat16, 64, None),
        (None, jnp.bfloat16, 64, None),
        ("9.0", jnp.float32, 64, None),
        ("9.0", jnp.bfloat16, 12, None),
        ("9.0", jnp.bfloat16, 136, None),
    ],
)
def test_flash_attention_where_it_can_run(capability, dtype, head_channels, wanted, monkeypatch):
    device = types.SimpleNamespace()
    if capability:
        device.compute_capability = capability
    monkeypatch.setattr(attention.jax, "local_devices", lambda: [device])
    assert attention.implementation(dtype, head_channels) == wanted


def test_residual_blocks_start_as_their_skip_path():
    x = jnp.arange(3 * 16 * 4.0).reshape(1, 3, 4, 4, 4)
    embedding = jnp.ones((1, 3, 5))
    for resample, size in ((None, 4), ("down", 2), ("up", 8)):
        block = ResBlock(4, resample=resample)
        out, _ = quick_jit(block.init_with_output)(jax.random.key(0), x, embedding)
        assert out.shape == (1, 3, size, size, 4)
        np.testing.assert_allclose(out.mean((2, 3)), x.mean((2, 3)), rtol=1e-5)


def test_space_to_depth_round_trips_and_keeps_blocks_together():
    x = jax.random.normal(jax.random.key(0), (2, 3, 8, 8, 5))
    deep = space_to_depth(x, 4)
    assert deep.shape == (2, 3, 2, 2, 80)
    np.testing.assert_array_equal(deep[0, 1, 1, 0], x[0, 1, 4:8, 0:4].reshape(-1))
    np.testing.assert_array_equal(depth_to_space(deep, 4), x)


def test_timestep_embedding_is_cosines_then_sines():
    out = timestep_embedding(jnp.array([0, 3]), 6)
    angles = 3 * 10_000.0 ** (-np.arange(3) / 3)
    np.testing.assert_allclose(out[0], [1, 1, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(out[1], [*np.cos(angles), *np.sin(angles)], atol=1e-6)
    with pytest.raises(ValueError, match="even"):
        timestep_embedding(jnp.zeros(1), 5)
