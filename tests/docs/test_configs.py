"""Can every configuration under configs/ be used as it stands, once its files exist?"""

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from brainalign.cli import app
from brainalign.pipeline.reading import read_config
from brainalign.pipeline.recipes.audiosae.schema import AudioSaeConfig
from brainalign.pipeline.schema import StudyConfig
from brainalign.pipeline.study import demo_config, load_study

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


# Names are all that a plan takes of a dataset's recordings; tests/study runs these configurations on real layouts.
LAYOUTS = {
    "alice-whisper.yaml": [f"{part}S{i:02d}.mat" for i in range(1, 50) for part in ("", "proc/")],
    "ds004408-hubert-sae.yaml": [
        "dataset_description.json",
        *(f"sub-{s:03d}/eeg/sub-{s:03d}_task-listening_run-{r:02d}_eeg.vhdr" for s in (1, 2) for r in range(1, 21)),
    ],
    "own-bids.yaml": [
        "dataset_description.json",
        *(f"sub-{s:02d}/eeg/sub-{s:02d}_task-listening_eeg.vhdr" for s in (1, 2)),
    ],
}


def put_beside(config: Path, folder: Path, files) -> Path:
    """Copy a configuration, and small files under the names that it gives."""
    copy = Path(shutil.copy(config, folder))
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    sounds = values["stimuli"].get("files", [])
    recordings = [entry["file"] for entry in values["listeners"].get("recordings", [])]
    replicas = [(name, files.stories[0]) for name in sounds]
    replicas += [(name, files.folder / "sub-01_eeg.fif") for name in recordings]
    for name, replica in replicas:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(replica, folder / name)
    if (layout := LAYOUTS.get(config.name)) is not None:
        for name in layout:
            path = folder / values["listeners"]["folder"] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return copy


@pytest.mark.parametrize("name", NAMES)
def test_it_becomes_a_plan(name, tmp_path, files):
    config = put_beside(CONFIGS / name, tmp_path, files)
    study = load_study(config)
    assert study.name == config.stem
    assert study.out_folder == Path("runs") / study.name
    assert "test" in study.plan


@pytest.mark.parametrize("name", NAMES)
def test_status_tells_that_everything_is_to_be_made(name, tmp_path, files, monkeypatch):
    config = put_beside(CONFIGS / name, tmp_path, files)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["status", str(config)])
    assert told.exit_code == 0, told.output
    assert f"{len(load_study(config).plan)} missing" in told.output
    assert not (tmp_path / "runs").exists(), "status writes nothing"


def test_a_missing_recording_is_named(tmp_path, files):
    config = put_beside(CONFIGS / "own-eeg.yaml", tmp_path, files)
    (tmp_path / "eeg" / "sub-02_eeg.fif").unlink()
    with pytest.raises(FileNotFoundError, match=r"sub-02_eeg\.fif"):
        load_study(config)


def test_the_demonstration_written_out_is_the_demonstration():
    written = read_config(CONFIGS / "demo.yaml", StudyConfig)
    assert written == read_config(demo_config(quick=False), StudyConfig)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_shown(name):
    """The files teach by example: an option that none shows is one that nobody finds."""
    values = yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))
    schema = AudioSaeConfig if "recipe" in values else StudyConfig
    hidden = set(unshown(read_config(CONFIGS / name, schema), values))
    assert hidden <= {"out", "store"}


def unshown(model: BaseModel, values: dict, place: str = ""):
    for field in type(model).model_fields:
        inside = getattr(model, field)
        if field not in values:
            yield place + field
        elif isinstance(inside, BaseModel):
            yield from unshown(inside, values[field], f"{place}{field}.")


def test_a_newcomers_options_are_all_explained():
    """Every option of own-eeg.yaml has a comment above it, its part's first line or beside it."""
    lines = (CONFIGS / "own-eeg.yaml").read_text(encoding="utf-8").splitlines()
    bare = []
    for i, line in enumerate(lines):
        text = line.strip()
        is_option = text and not text.startswith(("#", "-")) and not text.endswith(":") and "kind:" not in text
        before = lines[i - 1].strip()
        if is_option and "#" not in text and not before.startswith("#"):
            bare.append(text)
    assert bare == ["n_batch: 1024", "high: 15.0"], "these two share the comment above their neighbour"
