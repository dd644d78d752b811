"""The paper's tables 2 and 3 at equal training:

    python benchmarks/tables.py --fit runs/nano/fit --clip runs/nano/clip --out runs/tables

Every row of table 2 (base networks) and of table 3 (what trains the upsampler) is trained from
each seed with the same steps, batches and noise; the words are those of ``configs/base.py`` and
``configs/upsampler.py``. Then each draws people that nothing has learned from the latents of their
front views, the upsamplers from what D has drawn, all from the same noise; and its fronts are held
against theirs. The whole cascade is a size smaller than nano's (16 -> 32 texels), so that two CPU
cores train a table in an hour. Stopped, the same command goes on.
"""

import argparse
import functools
import json
import pathlib
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from networks import get_config
from PIL import Image

from rodin_jax import compile_cache, sampling
from rodin_jax.avatar import Avatar, Recipe
from rodin_jax.bundle import load_bundle
from rodin_jax.data.images import over_white
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.evaluation import frechet, judges, people
from rodin_jax.evaluation.bench import sheet
from rodin_jax.nn.unet import UNet
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.train import base, fitted, latents, upsampler
from rodin_jax.train.export import Export, read_export

# From worst to best, as the paper has them.
TABLES = {"2": ("A", "B", "C", "D"), "3": ("planes", "images", "augmented")}
STAGES = {"2": base, "3": upsampler}
SIZE, SHOWN, AT_ONCE = 128, 12, 16


def configuration(table: str, word: str, seed: int, a: argparse.Namespace):
    """Nano's of that row, a size smaller."""
    config = get_config(STAGES[table].PART, f"nano,{word}")
    config.planes_dir, config.clip_dir = str(a.fit), str(a.clip)
    config.seed, config.base_size, config.steps = seed, a.size, a.steps[table]
    config.checkpoint_every, config.preview.size = config.steps, 0
    config.model.channels = a.channels[table]
    if table == "2":
        config.model.head_channels = a.channels[table] // 2  # two heads, as nano has
    else:
        config.degrade.sizes = (3 * a.size // 4, a.size // 2)
    return config


def trained(table: str, word: str, seed: int, a: argparse.Namespace) -> Export:
    """What that row learned from that seed, trained now unless it was before."""
    part = STAGES[table].PART
    workdir = a.out / f"{part}-{word}-{seed}"
    STAGES[table].run(configuration(table, word, seed, a), workdir)
    return read_export(workdir, part)


def diffuser(export: Export, network, steps: int) -> sampling.Diffuser:
    """The network of an export with its process and DDIM in so many steps."""
    process = export.process
    return sampling.Diffuser(
        network(**export.model), process["schedule"], process["steps"], process["prediction"],
        process["learned_variance"], "ddim", steps,
    )  # fmt: skip


def noised(given, shape: tuple[int, ...]):
    """Parts of what is given, each with noise for planes of this shape, and a key for the way.

    Of every network the same.
    """
    for start in range(0, len(given), AT_ONCE):
        part, key = given[start : start + AT_ONCE], jax.random.key(start)
        yield part, jax.random.normal(key, (len(part), *shape)), jax.random.fold_in(key, 1)


def low_planes(export: Export, z, scale: PlaneStatistics, size: int):
    """What a base network draws given latents, normalised."""
    program = diffuser(export, UNet, 25)
    parts = noised(z, (3, size, size, scale.mean.shape[-1]))
    return jnp.concatenate([
        sampling.base_planes(program, export.params, scale, part, noise, 1.0, key)
        for part, noise, key in parts
    ])  # fmt: skip


def full_planes(export: Export, low, scale: PlaneStatistics, size: int):
    """What an upsampler makes of normalised low planes, in feature units."""
    program = diffuser(export, Upsampler, 10)
    parts = noised(low, (3, size, size, low.shape[-1]))
    return jnp.concatenate([
        sampling.full_planes(program, export.params, scale, part, noise, key)
        for part, noise, key in parts
    ])  # fmt: skip


def fronts(planes, decoded: fitted.Decoded) -> np.ndarray:
    """Front views over white of planes in feature units."""
    recipe = Recipe("fit")
    return np.stack([Avatar(p, decoded.decoder, decoded.params, recipe).render(0, 0, SIZE)
                     for p in planes])  # fmt: skip


def judge(pictures, features, real) -> dict[str, float]:
    """FID and KID of fronts against the people's."""
    seen = features(pictures)
    row = frechet.compare("fronts", "", seen, real, seed=0)
    return {name: row[name] for name in ("fid", "fid_error", "kid", "kid_error")}


def said(rows: dict[str, list[dict[str, float]]]) -> None:
    """Prints each row's mean with its standard error, over seeds if there are three."""
    print(f"\n{'':12}{'seeds':>7}{'FID':>16}{'KID':>20}")
    for word, found in rows.items():
        line = f"{word:12}{len(found):7}"
        for name, digits in (("fid", 2), ("kid", 5)):
            values = [row[name] for row in found]
            error = statistics.mean(row[f"{name}_error"] for row in found) / len(found) ** 0.5
            if len(found) > 2:
                error = statistics.stdev(values) / len(values) ** 0.5
            line += f"{statistics.mean(values):12.{digits}f} +- {error:.{digits}f}"
        print(line, flush=True)


def main() -> None:
    """Prints the tables; writes them and sheets of samples to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=pathlib.Path, required=True, help="workdir of that stage")
    parser.add_argument("--clip", type=pathlib.Path, required=True, help="workdir of that stage")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--table", choices=TABLES, nargs="+", default=list(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--people", type=int, default=256)
    parser.add_argument("--size", type=int, default=16, help="of the base planes")
    parser.add_argument("--steps", type=int, nargs=2, default=[1500, 300], help="of both tables")
    parser.add_argument("--channels", type=int, nargs=2, default=[48, 32], help="of both networks")
    a = parser.parse_args()
    a.steps, a.channels = (dict(zip(TABLES, x, strict=True)) for x in (a.steps, a.channels))
    compile_cache.enable()
    a.out.mkdir(parents=True, exist_ok=True)

    sizes = a.size, 2 * a.size
    store = fitted.open_store(a.fit, sizes)
    low_scale, high_scale = (store.statistics(size) for size in sizes)
    decoded, eye = fitted.Decoded(a.fit), judges.tower(load_bundle())
    crowd = people.made_up(a.people, 1, 1, size=SIZE, seed=0)
    real = np.stack([over_white(person.front) for person in crowd.people])
    z = latents.Encoder(a.clip).fronts(person.front for person in crowd.people)
    truth = eye.features(real)
    print(f"{a.people} of {crowd.origin}; seen by {eye.name}", flush=True)

    @functools.cache
    def drawn(word, seed):
        """Normalised low planes of a row of table 2."""
        return low_planes(trained("2", word, seed, a), z, low_scale, a.size)

    def of(table, word, seed):
        if table == "2":
            return low_scale.denormalise(drawn(word, seed))
        return full_planes(trained("3", word, seed, a), drawn("D", seed), high_scale, 2 * a.size)

    record = a.out / "tables.json"
    kept = json.loads(record.read_text()) if record.exists() else {}
    for table in a.table:
        rows = {word: [] for word in TABLES[table]}
        for seed in a.seeds:
            for word in TABLES[table]:
                name = f"{word}-{seed}"
                if name not in kept:
                    pictures = fronts(of(table, word, seed), decoded)
                    kept[name] = judge(pictures, eye.features, truth)
                    Image.fromarray(sheet(pictures[:SHOWN], SHOWN)).save(a.out / f"{name}.png")
                    record.write_text(json.dumps(kept, indent=1) + "\n")
                rows[word].append(kept[name])
            said({word: found for word, found in rows.items() if found})


if __name__ == "__main__":
    main()
