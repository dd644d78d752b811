"""Type-checks every annotated public function while the tests run; what many tests use."""

import os

# Set before JAX starts: four host devices let sharding tests run anywhere, and small programs
# that run a few times are compiled quickly rather than well.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0",
)

import pytest
from jaxtyping import install_import_hook

install_import_hook("rodin_jax", "typechecker.checked")


@pytest.fixture
def rodin(capsys):
    """``rodin(*arguments)`` runs the command; exit code, and what it wrote to stdout and stderr."""
    from rodin_jax import cli

    def run(*arguments):
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run
