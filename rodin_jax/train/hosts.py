"""Several processes as one program: who they are, and how this one joins them."""

import os
from collections.abc import Mapping

import jax


def join(environment: Mapping[str, str] | None = None, *, detect: bool = False) -> bool:
    """Joins the processes that were started together with this one, if there are any.

    Call it before anything asks JAX for devices. Who they are is said by, in this order:

    - ``JAX_COORDINATOR_ADDRESS`` (host:port of the first process, the same in all),
      ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``. JAX itself reads only the first of them. What is
      missing JAX finds out from the cluster, if it can. ``JAX_LOCAL_DEVICE_IDS`` (0,1,...), read by
      JAX, leaves a process some of its machine's GPUs.
    - a SLURM step (``srun``) of several tasks.
    - a slice of several TPU hosts on GKE.
    - with ``detect``, whatever else JAX recognises: Cloud TPU machines, Open MPI, Kubernetes.

    Args:
      environment: default ``os.environ``.
      detect: this process is not alone, although the environment does not say so.

    Returns:
      Whether this process has joined others.

    Raises:
      ValueError: a variable is not what it should be, or JAX cannot find the others.
    """
    env = os.environ if environment is None else environment
    address = env.get("JAX_COORDINATOR_ADDRESS")
    if not (address or detect or _slurm_tasks(env) > 1 or _tpu_hosts(env) > 1):
        return False
    count, index = _number(env, "JAX_NUM_PROCESSES"), _number(env, "JAX_PROCESS_ID")
    complete = None not in (address, count, index)
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            # Otherwise a SLURM job around the processes would give all of them its first GPU.
            cluster_detection_method="deactivate" if complete else None,
        )
    except RuntimeError as error:
        raise ValueError(f"the other processes cannot be joined: {error}") from error
    return True


def _slurm_tasks(env: Mapping[str, str]) -> int:
    return _number(env, "SLURM_STEP_NUM_TASKS") or 1


def _tpu_hosts(env: Mapping[str, str]) -> int:
    names = env.get("TPU_PROCESS_ADDRESSES") or env.get("TPU_WORKER_HOSTNAMES") or ""
    return len(names.split(","))


def _number(env: Mapping[str, str], name: str) -> int | None:
    value = env.get(name)
    if value is None:
        return None
    if not value.isdecimal():
        raise ValueError(f"${name} is {value!r}, expected a number")
    return int(value)
