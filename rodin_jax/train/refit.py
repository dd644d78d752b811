"""The fit stage once more, from what the first fits let foretell of each subject.

Reads the planes and decoder of `rodin_jax.train.fit` and their eigenplanes; makes what that stage
makes, with the same decoder, so every later stage takes its work folder instead.
"""

import os
import time
from pathlib import Path

import ml_collections

from rodin_jax.train import fitted, fitting, foretold
from rodin_jax.train.fit import FitIn, export_decoder, fit_all
from rodin_jax.train.fitter import Fitter, in_this_process


def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    fit_in: FitIn = in_this_process,
) -> None:
    """Fits the subjects of ``config.planes_dir`` again; ``fit_in`` is that of `fit.run`.

    Raises:
      ValueError: a folder is missing in the configuration, or ``config.data_dir`` holds somebody
        who was not fitted first.
    """
    workdir, begin = Path(workdir), time.perf_counter()
    if not config.data_dir:
        raise ValueError("config.data_dir is empty, expected the folder that was fitted first")
    store = fitted.open_store(config.planes_dir, [config.base_size])
    decoded = fitted.Decoded(config.planes_dir)
    start = foretold.read(store, config.eigenplanes_dir, size=config.base_size)
    fitter = Fitter(
        config.data_dir, decoded.decoder, decoded.params, start,
        fitting.FitOptions(**config.options.to_dict()), config.steps, config.rate,
        config.at_once, config.seed,
    )  # fmt: skip
    quality = fit_all(fitter, len(store), config, workdir, fit_in)
    export_decoder(workdir, decoded.model, fitter, quality, begin)
