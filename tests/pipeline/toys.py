"""A small study to plan, run and kill: noises, doubled, and their sum. Also runs as a script, to be killed."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.hashing import file_digest
from brainalign.pipeline.execute import execute
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.stage import Stage, Task
from brainalign.pipeline.store import Store


def make_noise(settings, inputs, *, files, progress):
    generator = np.random.default_rng(settings["seed"])
    arrays = {}
    for step in range(settings["n_arrays"]):
        time.sleep(settings.get("sleep", 0.0))
        arrays[f"part{step}"] = generator.standard_normal((40, 40))
        progress(step + 1, settings["n_arrays"], "arrays")
    return Artefact("noise", {"n": len(arrays)}, arrays)


def multiply(settings, inputs, *, files, progress):
    """Use the linear algebra library, whose sums depend on its threads."""
    product = np.linalg.multi_dot([*inputs["noise"].arrays.values()])
    return Artefact("product", {}, {"product": product})


def add_up(settings, inputs, *, files, progress):
    total = sum(part.arrays["product"].sum() for part in inputs["parts"])
    return Artefact("sum", {"sum": float(total), "order": [part.kind for part in inputs["parts"]]})


def read_text(settings, inputs, *, files, progress):
    return Artefact("text", {"text": [path.read_text() for path in files]})


def fail_kindly(settings, inputs, *, files, progress):
    raise ValueProblem("the noise is too quiet", got="-90 dB", fix="turn it up")


def fail_badly(settings, inputs, *, files, progress):
    return 1 / 0


def tell_whether_workers_retire(settings, inputs, *, files, progress):
    from joblib.externals.loky import process_executor

    return Artefact("told", {"retire": process_executor._USE_PSUTIL})


def die(settings, inputs, *, files, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def return_number(settings, inputs, *, files, progress):
    return 3.0


NOISE = Stage("noise", 1, make_noise)
MULTIPLY = Stage("multiply", 1, multiply)
SUM = Stage("sum", 1, add_up)
TEXT = Stage("text", 1, read_text)


def toy_plan(*, n=4, seed=0, n_arrays=3, name="toy", extra=(), **settings):
    tasks = []
    for i in range(n):
        given = {"seed": seed + i, "n_arrays": n_arrays, **settings}
        tasks += [
            Task(f"noise[{i}]", NOISE, settings=given),
            Task(f"product[{i}]", MULTIPLY, inputs={"noise": f"noise[{i}]"}),
        ]
    tasks.append(Task("sum", SUM, inputs={"parts": tuple(f"product[{i}]" for i in range(n))}))
    return Plan(name, [*tasks, *extra])


def bytes_of(folder: Path) -> dict[str, str]:
    """Hash every file of a store that a run leaves for good."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


if __name__ == "__main__":
    store_folder, n_jobs, sleep = sys.argv[1:]
    execute(toy_plan(n=6, n_arrays=12, sleep=float(sleep)), Store(store_folder), n_jobs=int(n_jobs))
