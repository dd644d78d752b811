"""Type-checks every annotated public function while the tests run."""

import os

# Four host devices let sharding tests run anywhere; it must be set before JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

from jaxtyping import install_import_hook

install_import_hook("rodin_jax", "typechecker.checked")
