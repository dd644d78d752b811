"""Fits a data set's subjects on a Ray cluster.

    pip install 'rodin_jax[ray]'
    python launch/fit_ray.py --config=configs/fit.py:paper --workdir=DIR --config.data_dir=DIR \
        [--address=auto] [--workers=8] [--cpus=1] [--gpus=0]

The decoder is learned here, as by ``launch/main.py``; then every worker fits some subjects at a
time. ``configs/refit.py`` fits them again likewise. Workers must see the folder of ``data_dir`` and
have the package installed. One that dies is started again and its subjects are fitted anew. Only
this process writes, in the subjects' order, so nothing is lost and nothing is there twice; the same
command goes on after a stop.
"""

import os
from collections.abc import Iterator, Sequence

from absl import flags

from rodin_jax import main
from rodin_jax.data.planes import FittedSubject
from rodin_jax.train import fit, refit
from rodin_jax.train.fitter import Fitter

_ADDRESS = flags.DEFINE_string("address", None, "of the cluster; none starts one on this machine")
_WORKERS = flags.DEFINE_integer("workers", 2, "how many processes fit", lower_bound=1)
_CPUS = flags.DEFINE_float("cpus", 1, "cores of each")
_GPUS = flags.DEFINE_float("gpus", 0, "GPUs of each")
_TASK = 8  # subjects that a worker is given at a time


class Worker:
    """Lives on the cluster and fits what it is told to."""

    def __init__(self, fitter: Fitter):
        """Keeps the fitter, which compiles its program once."""
        self._fitter = fitter

    def fit(self, numbers: Sequence[int]) -> list[FittedSubject]:
        """Fits the subjects of these numbers."""
        return list(self._fitter(numbers))

    def process(self) -> int:
        """The worker's process id."""
        return os.getpid()


def on_cluster(fitter: Fitter, numbers: Sequence[int]) -> Iterator[FittedSubject]:
    """Spreads the subjects over the workers; yields them fitted, in the same order."""
    import ray
    from ray.util import ActorPool

    if not ray.is_initialized():
        ray.init(address=_ADDRESS.value, log_to_driver=False)
    actor = ray.remote(
        num_cpus=_CPUS.value, num_gpus=_GPUS.value, max_restarts=-1, max_task_retries=-1
    )(Worker)
    shared = ray.put(fitter)
    pool = ActorPool([actor.remote(shared) for _ in range(_WORKERS.value)])
    tasks = [numbers[i : i + _TASK] for i in range(0, len(numbers), _TASK)]
    for fitted in pool.map(lambda worker, task: worker.fit.remote(task), tasks):
        yield from fitted


def run(config, workdir) -> None:
    """The stage fit or refit, its many subjects on the cluster."""
    stages = {"fit": fit, "refit": refit}
    if config.stage not in stages:
        raise ValueError(f"the stage {config.stage} fits no subjects, expected fit or refit")
    stages[config.stage].run(config, workdir, fit_in=on_cluster)


if __name__ == "__main__":
    main.entry(run, __doc__)
