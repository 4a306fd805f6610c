"""Which public datasets are known, and what is known of each? The schema of data_manifest.yaml.

Nothing in the manifest is believed beyond its evidence: ``verified`` is false until somebody has
downloaded the bytes and compared them, and a known hash decides over everything else.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from brainalign.core.errors import ConfigProblem, MissingFile, UnknownName, unknown_name
from brainalign.datasets.listing import HASH_LENGTHS
from brainalign.datasets.paths import relative_path

LISTINGS = Path(__file__).with_name("listings")
Format = Literal[
    "bids",
    "broderick-mat",
    "cnd",
    "cocoha",
    "eeglab",
    "fieldtrip",
    "fif",
    "hdf5-parts",
    "kul-mat",
    "brainvision",
    "other",
]
_PLACE = re.compile(r"\{(\w+)\}")


def _url(text: str) -> str:
    if not re.match(r"https?://[\w.-]+(:\d+)?(/|$)", text):
        raise ValueError("an address begins with https:// or http://")
    return text


def _pattern(text: str) -> str:
    try:
        known = set(re.compile(text).groupindex)
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from error
    if known - {"subject", "run"}:
        raise ValueError(f"its named groups may be 'subject' and 'run', and are {sorted(known)}")
    return text


def _hash(text: str) -> str:
    kind, _, value = text.partition(":")
    if not re.fullmatch("[0-9a-f]*", value) or HASH_LENGTHS.get(kind) != len(value):
        raise ValueError("a hash is 'sha256:' and 64 or 'md5:' and 32 lower-case hexadecimal digits")
    return text


def _relative(text: str) -> str:
    relative_path(text)
    return text


Url = Annotated[str, AfterValidator(_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Hash = Annotated[str, AfterValidator(_hash)]
RelativePath = Annotated[str, AfterValidator(_relative)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(_Strict):
    """Under what terms a dataset may be used."""

    name: str = Field(description="short name, e.g. CC0-1.0; 'not stated' where no source states one")
    url: Url | None = None
    restrictions: str = Field(default="", description="what is not allowed, or who must be asked, in one sentence")


class Files(_Strict):
    """One file, or many that differ in the names put in for ``{...}``."""

    path: RelativePath
    url: Url | None = Field(default=None, description="default: the dataset's base and the path")
    names: dict[str, tuple[str, ...]] = Field(default={}, description="what is put in for each {...}")
    size: int | None = Field(default=None, gt=0, description="bytes")
    hash: Hash | None = None
    unpack: bool = Field(default=False, description="an archive that is to be unpacked where it lies")
    optional: bool = Field(default=False, description="it may be that the server does not have it")

    @model_validator(mode="after")
    def _places_have_names(self) -> Files:
        asked = set(_PLACE.findall(self.path + (self.url or "")))
        if asked != set(self.names):
            raise ValueError(f"{{...}} asks for {sorted(asked)}, and names has {sorted(self.names)}")
        if self.names and (self.hash or self.size):
            raise ValueError("a size or hash belongs to one file, not to many")
        return self

    def each(self) -> tuple[Files, ...]:
        """Return one entry per file."""
        keys = sorted(self.names)
        return tuple(
            self.model_copy(
                update={
                    "path": self.path.format(**dict(zip(keys, values, strict=True))),
                    "url": self.url and self.url.format(**dict(zip(keys, values, strict=True))),
                    "names": {},
                }
            )
            for values in product(*(self.names[key] for key in keys))
        )


class Part(_Strict):
    """Files that are fetched together, told by their paths."""

    match: tuple[Pattern, ...] = Field(min_length=1, description="a path's regular expressions; groups subject, run")
    about: str
    default: bool = Field(default=True, description="fetched when no part is asked for by name")


class Dataset(_Strict):
    """What is known of one dataset."""

    title: str
    citation: tuple[str, ...] = Field(min_length=1)
    doi: str = Field(default="", pattern=r"^(10\.\d{4,9}/\S+)?$")
    page: Url | None = Field(default=None, description="where people read about it or ask for it")
    version: str = ""
    licence: Licence
    access: Literal["open", "login", "request", "by-hand"] = Field(
        description="by-hand: public, but not for programs (a server that refuses scripts, or no known addresses)"
    )
    task: Literal["speech", "music", "speech-and-music"]
    language: str = ""
    modality: Literal["eeg", "ecog", "meg"] = "eeg"
    subjects: int | None = Field(default=None, gt=0)
    channels: int | None = Field(default=None, gt=0)
    rate: float | None = Field(default=None, gt=0, description="Hz")
    reference: str = ""
    montage: str = Field(default="", description="an MNE montage that places the sensors")
    format: Format
    units: Literal["V", "mV", "uV", "nV"] = "V"
    audio: Literal["included", "elsewhere", "none"]
    onsets: str = Field(description="how a sound's beginning is found in the recording")
    starts_with: str = Field(default="", description="the sound that each run starts with, e.g. audio{run}")
    size: int | None = Field(default=None, gt=0, description="bytes of all of it, as its source states them")
    verified: bool = Field(description="whether somebody here has downloaded the bytes and compared them")
    base: Url | None = Field(default=None, description="what comes before a file's path")
    listing: str | None = Field(default=None, description="a table of files in the package's listings")
    files: tuple[Files, ...] = ()
    parts: dict[str, Part] = {}
    traps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_fetched(self) -> Dataset:
        if self.access == "open" and not (self.parts and (self.files or self.listing)):
            raise ValueError("what is open to all needs files (or a listing) and parts")
        if self.access == "open" and self.base is None and (self.listing or not all(f.url for f in self.files)):
            raise ValueError("files without an address of their own need a base")
        return self


class Manifest(_Strict):
    """The whole file."""

    schema_version: Literal[1] = Field(alias="schema")
    datasets: dict[str, Dataset]
    excluded: dict[str, str] = Field(default={}, description="datasets that no listening study can use, and why")


def manifest_path() -> Path:
    """Return where the manifest lies: in the installed package, or at the top of a checkout."""
    installed = Path(__file__).with_name("data_manifest.yaml")
    return installed if installed.exists() else Path(__file__).parents[2] / "data_manifest.yaml"


def load_manifest(path: Path | None = None) -> Manifest:
    """Read and check a manifest; without a path, the package's own."""
    path = manifest_path() if path is None else path
    if not path.exists():
        raise MissingFile("there is no manifest of datasets", got=path.name, fix="reinstall brainalign")
    try:
        text = path.read_text(encoding="utf-8")
        # LibYAML's loader is as safe as the other and eight times as fast; not every build of PyYAML has it.
        values = yaml.load(text, Loader=yaml.CSafeLoader) if yaml.__with_libyaml__ else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigProblem(
            "the manifest is not YAML", got=f"{path.name}: {' '.join(str(error).split())}", fix="mend that line"
        ) from error
    return check_manifest(values, name=path.name)


def check_manifest(values: Any, *, name: str) -> Manifest:
    """Check what a manifest's file holds; the message names the first entry that is wrong.

    Parameters
    ----------
    values
        What YAML made of the file.
    name
        What to call it in the message.
    """
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ConfigProblem(
            f"{name} does not fit its schema, at {where}",
            got=f"{_short(first['input'])} ({error.error_count()} mistakes in all)",
            fix=first["msg"].removeprefix("Value error, "),
        ) from error


def find_dataset(name: str, *, manifest: Manifest | None = None) -> Dataset:
    """Return a dataset of the manifest by its name."""
    manifest = load_manifest() if manifest is None else manifest
    if name in manifest.excluded:
        raise UnknownName(
            f"{name} is known, and is no dataset for a listening study",
            got=manifest.excluded[name],
            fix="choose another: brainalign datasets",
        )
    if name not in manifest.datasets:
        raise unknown_name(name, among=manifest.datasets, kind="dataset")
    return manifest.datasets[name]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
