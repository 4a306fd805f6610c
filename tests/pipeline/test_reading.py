from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.core.errors import ConfigProblem, MissingFile, UnreadableFile
from brainalign.pipeline.reading import read_config


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sae(Strict):
    k: int = 12
    rate: float = 0.5


class Synthetic(Strict):
    kind: Literal["synthetic"] = "synthetic"
    n_trials: int = Field(default=12, ge=1)


class Files(Strict):
    kind: Literal["files"]
    paths: list[str]


class Study(Strict):
    name: str
    seed: int = 0
    quick: bool = False
    layers: tuple[int, ...] = (1,)
    sae: Sae | None = Sae()
    stimuli: Annotated[Synthetic | Files, Field(discriminator="kind")] = Synthetic()
    listeners: list[Sae] = []
    bands: dict[str, Sae] = {}
    mode: Literal["mass", "banded"] = "mass"

    @field_validator("seed")
    @classmethod
    def not_unlucky(cls, value):
        if value == 13:
            raise ValueError("13 brings bad luck")
        return value


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "study.yaml"

    def reader(text, **overrides):
        path.write_text(text, encoding="utf-8")
        return read_config(path, Study, overrides={name.replace("__", "."): value for name, value in overrides.items()})

    return reader


def problem(read, text):
    with pytest.raises(ConfigProblem) as caught:
        read(text)
    return caught.value


def test_values_nested_and_by_default(read):
    study = read("name: a\nsae: {k: 16}\nlayers: [3, 4]\nstimuli:\n  kind: files\n  paths: [x.wav]\n")
    assert study.sae == Sae(k=16)
    assert study.layers == (3, 4)
    assert study.stimuli.paths == ["x.wav"]


def test_overrides_take_the_place_of_the_files_values(read):
    study = read("name: a\nseed: 1\nsae: {k: 16, rate: 1.5}\n", seed=2, sae__k=3)
    assert (study.seed, study.sae) == (2, Sae(k=3, rate=1.5))


def test_scientific_numbers_are_numbers(read):
    assert read("name: a\nsae: {rate: 1e-3}").sae.rate == 1e-3


@pytest.mark.parametrize(
    ("text", "got", "fix"),
    [
        ("name: a\nsede: 3\n", "line 2, sede: there is no setting 'sede'", "did you mean 'seed'? Known here: bands, "),
        ("name: a\nsae:\n  kk: 3\n", "line 3, sae.kk: there is no setting", "did you mean 'k'? Known here: k, rate"),
        (
            "name: a\nstimuli:\n  kind: synthetic\n  n_trial: 3\n",
            "line 4, stimuli.n_trial: there is no setting",
            "did you mean 'n_trials'? Known here: kind, n_trials",
        ),
        ("name: a\nlisteners:\n- k: 1\n- kk: 2\n", "line 4, listeners[1].kk:", "did you mean 'k'?"),
        ("name: a\nbands:\n  alpha: {kk: 2}\n", "line 3, bands.alpha.kk:", "did you mean 'k'?"),
        ("name: a\nseed: many\n", "line 2, seed: got 'many' (text)", "write a whole number, e.g. 12"),
        ("name: a\nseed: 1.5\n", "line 2, seed: got 1.5 (a number)", "write a whole number"),
        ("name: a\nseed: [1]\n", "line 2, seed: got [1] (a list)", "write a whole number"),
        ("name: a\nseed:\n", "line 2, seed: got None (nothing)", "write a whole number"),
        ("name: 3\n", "line 1, name: got 3 (a whole number)", "write text"),
        ("name: a\nquick: maybe\n", "line 2, quick: got 'maybe' (text)", "write true or false"),
        ("name: a\nsae:\n  rate: fast\n", "line 3, sae.rate: got 'fast' (text)", "write a number, e.g. 0.5"),
        ("name: a\nlayers: 3\n", "line 2, layers: got 3 (a whole number)", "write a list"),
        ("name: a\nlayers: [1, x]\n", "line 2, layers[1]: got 'x' (text)", "write a whole number"),
        ("name: a\nsae: 3\n", "line 2, sae: got 3 (a whole number)", "write names with values"),
        ("name: a\nmode: max\n", "line 2, mode: 'max' is not one of the choices", "choose 'mass' or 'banded'"),
        (
            "name: a\nstimuli: {kind: sung}\n",
            "stimuli: 'sung' is not one of the choices for 'kind'",
            "choose 'synthetic', 'files'",
        ),
        ("name: a\nstimuli: {n_trials: 3}\n", "stimuli: it has no 'kind'", "add 'kind' to it"),
        (
            "name: a\nstimuli: {kind: synthetic, n_trials: 0}\n",
            "line 2, stimuli.n_trials: got 0",
            "greater than or equal to 1",
        ),
        ("name: a\nseed: 13\n", "line 2, seed: got 13", "13 brings bad luck"),
        ("seed: 3\n", "name: this setting is needed and not given", "add 'name: ...'"),
        ("name: a\nstimuli:\n  kind: files\n", "line 2, stimuli.paths: this setting is needed", "add 'paths: ...'"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(read, text, got, fix):
    error = problem(read, text)
    assert got in error.got
    assert fix in error.fix
    assert "study.yaml" in error.what


def test_all_problems_are_told_at_once(read):
    error = problem(read, "name: a\nsede: 3\nsae: {kk: 1, rate: x}\n")
    assert "3 problems" in error.what
    assert len(error.got.splitlines()) == len(error.fix.splitlines()) == 3
    assert "line 3, sae.rate: write a number" in error.fix


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n"])
def test_an_empty_file(read, text):
    assert "is empty" in problem(read, text).what


@pytest.mark.parametrize("text", ["just text", "- a\n- b\n", "3"])
def test_a_file_that_is_no_mapping(read, text):
    assert "names with values" in problem(read, text).what


def test_broken_yaml_names_the_line(read):
    error = problem(read, "name: a\nsae: {k: 1\nseed: 2\n")
    assert "not valid YAML" in error.what
    assert "line 3" in error.got


def test_tabs_are_told(read):
    assert "line 3" in problem(read, "name: a\nsae:\n\tk: 3\n").got


def test_a_name_given_twice_is_refused(read):
    assert "line 3, column 1: 'seed' is given twice" in problem(read, "name: a\nseed: 1\nseed: 2\n").got


def test_no_code_is_run(read):
    assert "not valid YAML" in problem(read, "name: !!python/object/apply:os.getcwd []\n").what


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "study.yaml").write_text("name: a")
    with pytest.raises(MissingFile, match=r"did you mean .*study\.yaml"):
        read_config(tmp_path / "studdy.yaml", Study)
    with pytest.raises(MissingFile, match="check the path"):
        read_config(tmp_path / "none" / "x.yaml", Study)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="is a folder"):
        read_config(tmp_path, Study)


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "study.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ConfigProblem, match="UTF-8"):
        read_config(tmp_path / "study.yaml", Study)
