"""The command ``rodin``: arguments, exit codes and one-line errors.

Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted. The work is in `cli_commands` and
`cli_evaluate`, imported when a command runs, so that ``--help`` is quick. ``RODIN_TRACEBACK=1``
shows where an error arose.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from rodin_jax import __version__


class UsageError(ValueError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Prints the error and exits with 2."""
        self.exit(2, f"rodin: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as done:
        return int(done.code or 0)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _on_termination()
        with warnings.catch_warnings():
            _say_warnings()
            room = importlib.import_module(f"rodin_jax.{arguments.room}")
            command = getattr(room, arguments.run)
            result, summary = command(arguments)
        print(json.dumps(result) if arguments.json else summary, flush=True)
    except KeyboardInterrupt:
        print("rodin: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if os.environ.get("RODIN_TRACEBACK"):
            raise
        print(f"rodin: error: {_one_line(error)}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


def parser() -> Parser:
    """All commands and their arguments."""
    top = Parser(prog="rodin", description="3D avatars from a sentence, a photo or nothing.")
    top.add_argument("--version", action="version", version=f"rodin_jax {__version__}")
    commands = top.add_subparsers(metavar="command", required=True, parser_class=Parser)

    def add(name: str, text: str, group=commands, run: str | None = None) -> Parser:
        command = group.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print one JSON line at the end")
        command.set_defaults(run=run or name, room="cli_commands")
        return command

    def add_bundle(command):
        command.add_argument(
            "--bundle", metavar="PATH", help="folder, shipped name or hub id (default: nano)"
        )

    def add_out(command, what="folder to write"):
        command.add_argument("--out", required=True, metavar="DIR", help=what)

    c = add("generate", "Make avatars from a sentence, a picture or nothing.")
    given = c.add_mutually_exclusive_group()
    given.add_argument("--prompt", metavar="TEXT", help="what the avatar looks like")
    given.add_argument("--image", metavar="FILE", help="a portrait to start from")
    c.add_argument("--seed", type=int, default=0, metavar="N", help="avatar i uses seed N + i")
    c.add_argument("--num", type=int, default=1, metavar="N", help="how many (out/0, out/1, ...)")
    c.add_argument("--steps", type=int, metavar="N", help="sampling steps of the base model")
    c.add_argument("--guidance", type=float, metavar="X", help="1 is plain, more is stricter")
    _add_media(c)
    add_bundle(c)
    add_out(c)

    c = add("edit", "Change an avatar by a sentence; the person stays.")
    c.add_argument("avatar", metavar="AVATAR_DIR")
    c.add_argument("--prompt", required=True, metavar="TEXT", help="what it should be")
    c.add_argument("--source", metavar="TEXT", help="what it is instead (default: a person)")
    c.add_argument("--strength", type=float, default=1.0, metavar="X", help="of the change")
    c.add_argument("--guidance", type=float, metavar="X", help="as in generate")
    _add_media(c)
    add_bundle(c)
    add_out(c)

    c = add("interpolate", "Make the avatars between two avatars, and a film of them.")
    c.add_argument("first", metavar="AVATAR_DIR")
    c.add_argument("second", metavar="AVATAR_DIR")
    c.add_argument("--frames", type=int, default=8, metavar="N", help="both ends included")
    add_bundle(c)
    add_out(c)

    c = add("render", "Take a picture (.png) or a turntable film (.mp4) of an avatar.")
    c.add_argument("avatar", metavar="AVATAR_DIR")
    c.add_argument("--out", required=True, metavar="FILE", help="a .png or .mp4 file")
    c.add_argument("--azimuth", type=float, default=0.0, metavar="DEG", help="0 is the front")
    c.add_argument("--elevation", type=float, default=0.0, metavar="DEG")
    c.add_argument("--size", type=int, default=256, metavar="PX", help="pixels along an edge")
    c.add_argument("--transparent", action="store_true", help="no background (.png)")
    c.add_argument(
        "--depth", metavar="FILE", help="also its depth, a 16-bit .png: 10000 is one world unit"
    )
    c.add_argument(
        "--normals", metavar="FILE", help="also its normals, a .png: 128 + 127 (x, y, z)"
    )
    c.add_argument("--frames", type=int, default=40, metavar="N", help="of the film")
    c.add_argument(
        "--refine", action="store_true", help="complete the details by the bundle's refiner (.png)"
    )
    c.add_argument("--bundle", metavar="PATH", help="where --refine finds a refiner; see generate")

    c = add("export", "Write an avatar's mesh with vertex colours or a texture.")
    c.add_argument("avatar", metavar="AVATAR_DIR")
    c.add_argument("--format", choices=("glb", "obj", "ply"), help="default: that of --out, or glb")
    c.add_argument("--out", metavar="FILE", help="default: AVATAR_DIR/mesh.FORMAT")
    c.add_argument(
        "--faces",
        type=int,
        metavar="N",
        help="at most so many (default: all, with --texture 20000)",
    )
    c.add_argument(
        "--texture", type=int, metavar="PX", help="a colour texture of PX x PX (.glb, .obj)"
    )
    _add_resolution(c)

    c = add("fit", "Fit an avatar to a capture: transforms.json and pictures with known cameras.")
    c.add_argument("capture", metavar="CAPTURE_DIR")
    length = c.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, metavar="N", help="how long to train")
    length.add_argument("--steps", type=int, metavar="N", help="how many steps to train")
    c.add_argument("--seed", type=int, default=0, metavar="N")
    _add_media(c)
    add_out(c)

    c = add("data", "Make a data set: of made-up people, or of your captures. Check a capture.")
    c.add_argument("--preset", choices=("smoke", "nano", "small", "paper"), help="default: nano")
    c.add_argument("--from", dest="captures", metavar="CAPTURES_DIR", help="a folder of captures")
    c.add_argument("--subjects", type=int, metavar="N", help="default: the preset's")
    c.add_argument("--views", type=int, metavar="N", help="of each; default: the preset's, or all")
    c.add_argument("--size", type=int, metavar="PX", help="of a view; default: the preset's")
    c.add_argument("--seed", type=int, default=0, metavar="N")
    c.add_argument("--source", choices=("jax", "blender"), default="jax", help="what draws people")
    c.add_argument("--processes", type=int, metavar="N", help="default: one for each core")
    c.add_argument("--out", metavar="DIR", help="folder to write")
    kinds = c.add_subparsers(metavar="[check]", parser_class=Parser)
    text = "Say what a capture holds and what is wrong with it; draw its cameras."
    c = kinds.add_parser("check", help=text, description=text)
    c.add_argument("capture", metavar="CAPTURE_DIR")
    # Not given, these must not hide what came before the word "check".
    c.add_argument("--out", metavar="FILE", default=argparse.SUPPRESS, help="a .png file to draw")
    c.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON line"
    )
    c.set_defaults(run="data_check")

    c = add("evaluate", "Measure a bundle: report.html with pictures, report.json with figures.")
    add_bundle(c)
    c.add_argument("--data", metavar="DIR", help="people kept from training (default: drawn now)")
    c.add_argument("--probe", metavar="RUN_DIR", help="work folder of the probe stage, for text")
    c.add_argument("--planes", metavar="RUN_DIR", help="work folder of the fit behind the bundle")
    c.add_argument("--vgg", metavar="FILE", help="VGG16 weights to see likeness with")
    c.add_argument(
        "--compare", nargs="+", action="extend", default=[], metavar="NAME=BUNDLE",
        help="other bundles, for an ablation",
    )  # fmt: skip
    c.add_argument("--only", metavar="NAMES", help="sections, with commas (default: all)")
    c.add_argument(
        "--count", type=int, default=16, metavar="N",
        help="avatars in a set (default: 16, some six minutes of processor time)",
    )  # fmt: skip
    c.add_argument("--seed", type=int, default=0, metavar="N")
    c.add_argument("--processes", type=int, metavar="N", help="that draw people")
    add_out(c)
    c.set_defaults(room="cli_evaluate")

    c = commands.add_parser("bundle", help="Make or check a bundle.", description="Bundles.")
    kinds = c.add_subparsers(metavar="action", required=True, parser_class=Parser)
    c = add("assemble", "Make a bundle of finished training runs.", kinds, "bundle_assemble")
    c.add_argument("runs", nargs="+", metavar="RUN_DIR", help="one work folder for each part")
    c.add_argument("--preset", default="", metavar="NAME", help="for the record")
    c.add_argument("--sampling", default="{}", metavar="JSON", help="sampling defaults")
    c.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    c.add_argument(
        "--int8", nargs="+", default=[], metavar="PART", help="store kernels of these as int8"
    )
    add_out(c)
    c = add("check", "Load a bundle and say what is in it.", kinds, "bundle_check")
    c.add_argument("bundle", nargs="?", metavar="PATH", help="default: the shipped one")
    return top


def _add_media(command: Parser) -> None:
    """The options of every command that writes an avatar's pictures and mesh."""
    command.add_argument("--quick", action="store_true", help="small pictures and a coarse mesh")
    _add_resolution(command)


def _add_resolution(command: Parser) -> None:
    command.add_argument("--resolution", type=int, metavar="N", help="grid of the mesh, 8 to 512")


def _say_warnings() -> None:
    """Warnings meant for users become one line each; those of libraries are dropped."""
    warnings.simplefilter("always")

    def say(message, category, *_args, **_kwargs):
        if category.__name__ == "PromptWarning":
            print(f"rodin: warning: {_one_line(message)}", file=sys.stderr)

    warnings.showwarning = say


def _on_termination() -> None:
    """A polite kill cleans up like Ctrl-C."""

    def stop(_number, _frame):
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: somebody else decides
        return


def _one_line(error: BaseException | str) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())[:500]
    known = isinstance(error, ValueError | OSError | Warning | str)
    return text if known and text else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    sys.exit(main())
