"""A study that takes the place of the real one, so that commands are tested without its work. Also runs as a script."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from brainalign.pipeline.plan import Plan
from brainalign.pipeline.reading import read_config
from brainalign.pipeline.stage import Stage, Task
from tests.pipeline.toys import die, fail_badly, fail_kindly, toy_plan

BREAK = {"kindly": fail_kindly, "badly": fail_badly, "dead": die}


class Toy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int = 0
    sleep: float = 0.0
    fails: str = ""
    out: Path = Path("runs/toy")
    store: Path | None = None


@dataclass(frozen=True)
class Study:
    name: str
    plan: Plan
    store_folder: Path
    out_folder: Path


def load_study(path, overrides):
    toy = read_config(path, Toy, overrides=overrides)
    extra = [Task("bad", Stage("bad", 1, BREAK[toy.fails]))] if toy.fails else []
    plan = toy_plan(seed=toy.seed, sleep=toy.sleep, name=toy.name, extra=extra)
    return Study(toy.name, plan, toy.store or toy.out / "store", toy.out)


def write_outputs(study, store, *, seconds=None):
    study.out_folder.mkdir(parents=True, exist_ok=True)
    summary = {"sum": store.get(study.plan.key("sum")).meta["sum"], "headline": ["the sum is known"]}
    (study.out_folder / "report.html").write_text("<html></html>")
    (study.out_folder / "summary.json").write_text(json.dumps(summary))
    return summary


def module(demo):
    """Build the stand-in for the module that the commands import."""
    made = ModuleType("brainalign.pipeline.study")
    made.load_study, made.write_outputs, made.demo_config = load_study, write_outputs, lambda quick: demo
    return made


if __name__ == "__main__":
    from brainalign.cli import main

    sys.modules["brainalign.pipeline.study"] = module(None)
    main()
