"""The command line: what it writes, what it prints, and how it says no."""

import dataclasses
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tiny_bundle
import trimesh
from PIL import Image

from rodin_jax import avatar, provenance
from rodin_jax.avatar import Avatar, Media
from rodin_jax.pipeline import RodinPipeline

FILES = ["avatar.json", "mesh.glb", "planes.safetensors", "preview.png", "turntable.mp4"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return str(tiny_bundle.make(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    tiny = Media(frames=8, size=32, portrait=32, resolution=16)
    monkeypatch.setattr(avatar, "QUICK", tiny)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_generate_edit_interpolate(rodin, bundle, tmp_path):
    arguments = ("--bundle", bundle, "--seed", 1, "--quick", "--json", "--out")
    code, out, err = rodin(
        "generate", "--prompt", "a zebra with red hair", *arguments, tmp_path / "a" / "out"
    )
    assert code == 0 and err == "rodin: warning: words the model does not know: 'zebra'\n"
    result = json.loads(out)
    assert result["avatars"] == [str(tmp_path / "a" / "out")] and out.count("\n") == 1
    assert result["seed"] == 1 and result["prompt"] == "a zebra with red hair"
    assert result["unknown_words"] == ["zebra"]
    assert 0 <= result["compile_seconds"] <= result["seconds"]
    assert names(tmp_path / "a" / "out") == FILES and names(tmp_path / "a") == ["out"]

    code, out, _ = rodin("generate", *arguments, tmp_path / "two", "--num", 2)
    assert code == 0 and names(tmp_path / "two") == ["0", "1"]
    assert json.loads(out)["avatars"] == [str(tmp_path / "two" / str(i)) for i in range(2)]
    assert names(tmp_path / "two" / "1") == FILES
    assert Avatar.load(tmp_path / "two" / "1").recipe.seed == 2

    first, second = tmp_path / "two" / "0", tmp_path / "edited"
    options = ("--prompt", "round glasses", "--bundle", bundle, "--quick", "--out", second)
    code, out, _ = rodin("edit", first, *options)
    assert code == 0 and out == f"wrote {second}\n" and names(second) == FILES
    code, out, _ = rodin(
        "interpolate", first, second, "--frames", 2, "--bundle", bundle, "--out", tmp_path / "way"
    )
    assert code == 0
    assert names(tmp_path / "way") == ["0", "1", "interpolation.mp4", "preview.png"]


def test_generate_again_gives_the_same_bytes(rodin, bundle, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        assert rodin("generate", "--bundle", bundle, "--quick", "--out", folder)[0] == 0
    for name in FILES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_render_and_export(rodin, tmp_path):
    ball = tiny_bundle.ball().save(tmp_path / "ball", media=None)
    code, out, _ = rodin("render", ball, "--size", 32, "--transparent", "--out", tmp_path / "x.png")
    assert code == 0 and out == f"wrote {tmp_path / 'x.png'}\n"
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (32, 32) and image.mode == "RGBA"
    film = tmp_path / "x.mp4"
    assert rodin("render", ball, "--size", 32, "--frames", 2, "--out", film)[0] == 0
    assert film.read_bytes()[4:8] == b"ftyp"
    for form in ("glb", "obj", "ply"):
        code, out, _ = rodin("export", ball, "--format", form, "--resolution", 16, "--json")
        result = json.loads(out)
        assert code == 0 and result["out"] == str(ball / f"mesh.{form}")
        assert result["files"] == [result["out"]]
        assert trimesh.load(ball / f"mesh.{form}", force="mesh").is_watertight
    assert names(tmp_path) == ["ball", "x.mp4", "x.png"]


def test_maps_beside_a_picture(rodin, tmp_path):
    ball = tiny_bundle.ball().save(tmp_path / "ball", media=None)
    places = {name: tmp_path / f"{name}.png" for name in ("depth", "normals", "out")}
    options = [item for name, place in places.items() for item in (f"--{name}", place)]
    code, out, _ = rodin("render", ball, "--size", 32, *options, "--json")
    assert code == 0 and {"depth", "normals", "out"} <= set(json.loads(out))
    alone = tmp_path / "alone.png"
    assert rodin("render", ball, "--size", 32, "--out", alone)[0] == 0
    assert alone.read_bytes() == places["out"].read_bytes()
    depth = np.asarray(Image.open(places["depth"]))
    assert depth.dtype == np.uint16 and depth[0, 0] == 0
    expected = 3 - tiny_bundle.half_way(1.0)
    np.testing.assert_allclose(depth[15:17, 15:17] / 10_000, expected, atol=0.004)
    normals = np.asarray(Image.open(places["normals"])).astype(float)
    assert (normals[0, 0] == 128).all()
    np.testing.assert_allclose((normals[15:17, 15:17] - 128).mean((0, 1)), [0, -127, 0], atol=3)
    for name in ("depth", "normals"):
        text = provenance.read_png(places[name])
        assert text["prompt"] == "a ball" and name in text


def test_refined_pictures(rodin, tmp_path):
    net, params = tiny_bundle.refiner()
    ball = dataclasses.replace(tiny_bundle.ball(), refiner=net, refiner_params=params)
    folder = ball.save(tmp_path / "ball", media=None, refiner=True)
    places = {name: tmp_path / f"{name}.png" for name in ("depth", "out")}
    options = [item for name, place in places.items() for item in (f"--{name}", place)]
    code, _, _ = rodin("render", folder, "--size", 32, "--refine", *options)
    assert code == 0
    refined = ball.render(size=32, refine=True)
    np.testing.assert_array_equal(np.asarray(Image.open(places["out"])), refined)
    assert np.asarray(Image.open(places["depth"])).shape == (32, 32)


def test_a_bundle_without_refiner_refines_nothing(rodin, bundle, tmp_path):
    ball = tiny_bundle.ball().save(tmp_path / "ball", media=None)
    picture = tmp_path / "x.png"
    code, out, err = rodin("render", ball, "--refine", "--bundle", bundle, "--out", picture)
    assert code == 2 and out == "" and not picture.exists()
    assert err == f"rodin: error: {bundle}: this bundle has no refiner\n"


def test_light_textured_meshes(rodin, tmp_path):
    pytest.importorskip("fast_simplification")
    pytest.importorskip("xatlas")
    ball = tiny_bundle.ball().save(tmp_path / "ball", media=None)
    options = ("--faces", 200, "--texture", 64, "--resolution", 24, "--json")
    code, out, _ = rodin("export", ball, *options, "--out", tmp_path / "x.obj")
    result = json.loads(out)
    assert code == 0 and 0 < result["faces"] <= 200
    assert [name.rsplit("/", 1)[1] for name in result["files"]] == [
        "x_texture.png", "x.mtl", "x.obj",
    ]  # fmt: skip
    assert names(tmp_path) == ["ball", "x.mtl", "x.obj", "x_texture.png"]


def test_meshes_say_what_they_lack(rodin, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    ball = tiny_bundle.ball().save(tmp_path / "ball", media=None)
    code, out, err = rodin("export", ball, "--texture", 64, "--faces", 200)
    assert code == 1 and out == "" and err.count("\n") == 1
    assert err.endswith("pip install 'rodin_jax[mesh]'\n")
    assert names(ball) == ["avatar.json", "planes.safetensors"]


def test_bundles_are_made_and_checked(rodin, tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    out = tmp_path / "made"
    code, said, _ = rodin(
        "bundle", "assemble", *runs, "--preset", "smoke", "--sampling", '{"guidance": 2}',
        "--int8", "base",
        "--out", out, "--json",
    )  # fmt: skip
    assert code == 0 and json.loads(said)["preset"] == "smoke"
    code, said, _ = rodin("bundle", "check", out, "--json")
    result = json.loads(said)
    assert code == 0 and result["planes"] == [8, 16, 4] and result["sampling"]["guidance"] == 2
    assert set(result["parameters"]) == {"decoder", "base", "upsampler", "latent", "text", "clip"}
    assert rodin("bundle", "check", out)[1].startswith(str(out))
    assert rodin("bundle", "assemble", *runs, "--sampling", "[", "--out", out)[0] == 2


def png_header(width, height):
    """A picture that claims a size and has nothing in it."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prompt", ""], 2, "the prompt is empty"),
        (["--prompt", "word " * 10_000], 2, "10000 words"),
        (["--image", "garbage.png"], 1, "garbage.png"),
        (["--image", "bomb.png"], 1, "bomb.png"),
        (["--image", "tiny.png"], 1, "tiny.png"),
        (["--image", "none.png"], 1, "none.png"),
        (["--image", "."], 1, "folder"),
        (["--seed", "-1"], 2, "seeds run"),
        (["--seed", "x"], 2, "invalid int"),
        (["--num", "0"], 2, "num must"),
        (["--steps", "0"], 2, "steps must"),
        (["--guidance", "nan"], 2, "guidance"),
        (["--resolution", "3"], 2, "--resolution 3"),
        (["--prompt", "a", "--image", "b"], 2, "not allowed with"),
        (["--bundle", "/no/such/place"], 1, "no such bundle"),
        (["--bundle", "broken"], 1, "broken"),
        (["--out", "file"], 1, "cannot be written"),
        (["--out", "file/out"], 1, "cannot be written"),
        (["--colour"], 2, "unrecognized"),
    ],
)
def test_bad_requests_are_one_line_and_leave_nothing(
    rodin, bundle, tmp_path, monkeypatch, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "garbage.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"garbage" * 9)
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "tiny.png")
    (tmp_path / "broken").mkdir()
    before = names(tmp_path)
    got, out, err = rodin("generate", "--bundle", bundle, "--out", "out", "--json", *arguments)
    assert got == code and out == ""
    assert err.startswith("rodin: error: ") and err.count("\n") == 1 and message in err
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["render", "none", "--out", "x.png"], 1, "not an avatar"),
        (["render", "none", "--out", "x.gif"], 2, "expected a .png or .mp4"),
        (["render", "none", "--out", "x.mp4", "--size", "33"], 2, "--size 33"),
        (["render", "none", "--elevation", "95", "--out", "x.png"], 2, "--elevation"),
        (["render", "ball", "--size", "32", "--out", "none/x.png"], 1, "there is no folder"),
        (["render", "none", "--out", "x.mp4", "--depth", "d.png"], 2, "--depth"),
        (["render", "none", "--out", "x.png", "--depth", "x.png"], 2, "file of its own"),
        (["render", "none", "--out", "x.png", "--normals", "n.exr"], 2, "--normals n.exr"),
        (["render", "ball", "--out", "x.png", "--depth", "none/d.png"], 1, "there is no folder"),
        (["render", "none", "--out", "x.mp4", "--refine"], 2, "--refine"),
        (["render", "none", "--out", "x.png", "--refine", "--size", "33"], 2, "--refine"),
        (["export", "none"], 1, "not an avatar"),
        (["export", "none", "--faces", "3"], 2, "--faces 3"),
        (["export", "none", "--texture", "7"], 2, "--texture 7"),
        (["export", "none", "--texture", "512", "--format", "ply"], 2, "vertex colours only"),
        (["export", "none", "--out", "x.ply", "--format", "obj"], 2, "--format obj"),
        (["export", "ball", "--format", "stl"], 2, "invalid choice"),
        (["edit", "none", "--prompt", "x", "--out", "out"], 1, "not an avatar"),
        (["fit", "none", "--out", "out"], 1, "none"),
        (["fit", "none", "--seconds", "-1", "--out", "out"], 2, "--seconds"),
        (["data", "--subjects", "0", "--out", "out"], 2, "--subjects"),
        (["data", "--preset", "huge", "--out", "out"], 2, "invalid choice"),
        (["bundle", "check", "none"], 1, "none"),
        (["fly"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_other_bad_requests(rodin, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    tiny_bundle.ball().save("ball", media=None)
    got, out, err = rodin(*arguments)
    assert got == code and out == ""
    assert err.startswith("rodin: error: ") and err.count("\n") == 1 and message in err
    assert names(tmp_path) == ["ball"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt, 130, "interrupted"), (ZeroDivisionError, 1, "error: ZeroDivisionError")],
)
def test_interrupts_and_surprises_leave_no_folder(
    rodin, bundle, tmp_path, monkeypatch, error, code, message
):
    def fail(*_args, **_kwargs):
        raise error("boom\nbang")

    monkeypatch.setattr(RodinPipeline, "generate", fail)
    got, _, err = rodin("generate", "--bundle", bundle, "--out", tmp_path / "a" / "out")
    assert got == code and message in err and err.count("\n") == 1
    assert names(tmp_path) == []


def test_help_does_not_wait_for_jax():
    program = (
        "import sys, rodin_jax.cli as c; code = c.main(['generate', '--help']);"
        "assert code == 0 and not {'jax', 'numpy'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--prompt" in done.stdout
