"""README keeps its promises: commands parse, examples run, links lead somewhere."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

from rodin_jax import cli

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = re.sub(r"<!--.*?-->", "", README, flags=re.DOTALL)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_first_two_commands_install_and_make_and_test():
    install, test = blocks("sh")[0].splitlines()
    assert install.startswith("pip install . && rodin generate --prompt ")
    assert test == "pip install '.[test]' && pytest"


def test_every_rodin_command_parses():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [part for line in lines for part in line.split("&&") if "rodin " in part]
    seen = set()
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "rodin"
        seen.add(cli.parser().parse_args(arguments).run)
    assert {"generate", "edit", "interpolate", "render", "export", "fit", "data"} <= seen
    assert "evaluate" in seen


def test_examples_run_as_a_reader_would_run_them(tmp_path):
    examples = [block for block in blocks("python") if "needs: bundle" not in block]
    assert len(examples) == 3
    # One process for all, each in a namespace of its own.
    script = "\n".join(f"exec({code!r}, {{'__name__': 'reader'}})" for code in examples)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    promised = re.findall(r"print\(.*\)  # (.*)", "".join(examples))
    assert promised and all(line in done.stdout.splitlines() for line in promised)


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", TEXT)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing
