"""The house stands as drawn: imports point one way, files stay small, nothing unpickles."""

import ast
import functools
import pathlib

import rodin_jax

PACKAGE = pathlib.Path(rodin_jax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Room -> its modules directly under rodin_jax (a package counts with everything inside it).
ROOMS = {
    "root": {"__init__"},
    "types": {"types"},
    "maths": {
        "backdrop", "cameras", "layers", "meshing", "metrics", "occupancy", "packing",
        "rendering", "specks", "triplanes",
    },
    "diffusion": {"diffusion"},
    "nn": {"nn"},
    "data": {"data"},
    "files": {
        "compile_cache", "folders", "kept_programs", "mesh_files", "png", "preview", "provenance",
    },
    "train": {"train"},
    "bundle": {"bundle", "bundle_layout", "bundle_sampling", "assembly"},
    "avatar": {"avatar", "avatar_files", "avatar_programs"},
    "pipeline": {"conditioning", "likeness", "pipeline", "portrait", "sampling", "synthesis",
                 "visages"},
    "evaluation": {"evaluation"},
    "front": {"cli", "cli_commands", "cli_evaluate", "main"},
}  # fmt: skip
# Room -> the rooms it may import besides itself.
ARROWS = {
    "root": set(),
    "types": set(),
    "maths": {"types"},
    "diffusion": {"types"},
    "nn": {"types", "maths", "diffusion"},
    "files": {"root", "types", "maths"},
    "data": {"root", "types", "maths", "nn"},
    "train": {"root", "types", "maths", "diffusion", "nn", "data", "files"},
    "bundle": {"root", "types", "maths", "diffusion", "nn", "data", "files", "train"},
    "avatar": {"root", "types", "maths", "diffusion", "nn", "data", "files", "bundle"},
    "pipeline": {"root", "types", "maths", "diffusion", "nn", "data", "files", "bundle", "avatar"},
    "evaluation": set(ROOMS) - {"evaluation", "front"},
    "front": set(ROOMS) - {"front"},
}
BANNED = {"torch", "tensorflow", "pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve",
          "configs"}  # fmt: skip
MAX_LINES = 400


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path):
    """Full dotted names of every module or name that ``path`` imports, at any depth."""
    package = ["rodin_jax", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def room(module):
    """The room of a dotted name inside the package; names of the root itself count as root."""
    first = (module.split(".") + ["__init__"])[1]
    rooms = [name for name, modules in ROOMS.items() if first in modules]
    return rooms[0] if rooms else "root" if first == "__version__" else None


def own_room(path):
    return room(".".join(["rodin_jax", *path.relative_to(PACKAGE).with_suffix("").parts]))


def short(path):
    return str(path.relative_to(PACKAGE))


def test_the_walk_finds_imports_at_any_depth_and_of_any_form(tmp_path, monkeypatch):
    monkeypatch.setattr("test_architecture.PACKAGE", tmp_path)
    path = tmp_path / "data" / "x.py"
    path.parent.mkdir()
    path.write_text(
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..nn import f\n"
        "def g():\n    from rodin_jax.train import h\n"
    )
    assert list(imports(path)) == [
        "a.b", "c.d", "rodin_jax.data.e", "rodin_jax.nn.f", "rodin_jax.train.h",
    ]  # fmt: skip


def test_the_drawing_has_no_cycle():
    seen = set()
    while seen != set(ARROWS):
        ready = {name for name, needs in ARROWS.items() if name not in seen and needs <= seen}
        assert ready, f"rooms in a circle: {set(ARROWS) - seen}"
        seen |= ready


def test_every_file_has_a_room():
    homeless = [short(path) for path in FILES if not own_room(path)]
    assert not homeless, f"{homeless}: give them a room in DESIGN and here"


def test_imports_point_one_way():
    wrong = [
        f"{short(path)} ({own_room(path)}) imports {name}"
        for path in FILES
        for name in imports(path)
        if name.split(".")[0] == "rodin_jax"
        and room(name) not in ARROWS[own_room(path)] | {own_room(path)}
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_unpickles_evaluates_or_needs_another_framework():
    wrong = [
        f"{short(path)} imports {name}"
        for path in FILES
        for name in imports(path)
        if name.split(".")[0] in BANNED
    ]
    for path in FILES:
        for node in ast.walk(tree(path)):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", None)
            unpickles = isinstance(node, ast.keyword) and node.arg == "allow_pickle"
            if called in ("eval", "exec") or (unpickles and getattr(node.value, "value", True)):
                wrong.append(f"{short(path)}:{node.lineno}: {called or 'allow_pickle'}")
    assert not wrong, "\n".join(wrong)


def test_files_have_one_purpose():
    lengths = {short(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert not long, f"{long}: more than {MAX_LINES} lines want to be two rooms"


def test_flags_are_read_at_the_front_door_only():
    doors = {"main.py", "cli.py", "cli_commands.py", "cli_evaluate.py"}
    readers = {
        short(path)
        for path in FILES
        if any(name == "argparse" or name.startswith("absl.flags") for name in imports(path))
    }
    assert readers <= doors


def test_the_loop_knows_only_states_batches_and_steps():
    own = {"checkpoints", "claim", "flops", "journal", "post_mortem", "signals"}
    for name in ("loop", *own):
        known = {n for n in imports(PACKAGE / "train" / f"{name}.py") if n.startswith("rodin_jax")}
        assert {".".join(n.split(".")[1:3]) for n in known} <= {f"train.{room}" for room in own}


def test_slow_imports_wait_until_they_are_needed():
    def at_the_top(path):
        for node in tree(path).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""

    importers = {short(p) for p in FILES if "tensorflow_datasets" in set(at_the_top(p))}
    assert importers == {"data/rodin_avatars/builder.py"}
    blender = {short(p) for p in FILES if {"bpy", "mathutils"} & set(at_the_top(p))}
    assert not blender, f"{blender}: Blender is optional, import it where it is called"
    for front in ("cli.py", "main.py", "__init__.py"):
        assert not {n.split(".")[0] for n in at_the_top(PACKAGE / front)} & {"jax", "flax"}
