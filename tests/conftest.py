"""Type-checks every annotated public function while the tests run; what many tests use."""

import os

# Set before JAX starts: four host devices let sharding tests run anywhere, and small programs
# that run a few times are compiled quickly rather than well.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0",
)

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("rodin_jax", "typechecker.checked")


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory):
    """Most of the tests' time is compilation: what one has compiled, all others find."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    jax.config.update("jax_compilation_cache_dir", str(folder / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture
def rodin(capsys):
    """``rodin(*arguments)`` runs the command; exit code, and what it wrote to stdout and stderr."""
    from rodin_jax import cli

    def run(*arguments):
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run
