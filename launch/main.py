"""Trains one stage; see `rodin_jax.main`."""

from rodin_jax.main import entry

entry()
