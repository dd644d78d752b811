"""The parts of reading captures; `rodin_jax.data.capture` puts them together."""
