"""The manifest fits its schema, tells what a user must know, and its hashes are those of the sources."""

import re
import tomllib
from copy import deepcopy
from pathlib import Path

import mne
import pytest
import yaml

import brainalign.datasets.manifest as room
from brainalign.core.errors import ConfigProblem, MissingFile, UnknownName, UnreadableFile
from brainalign.core.hashing import file_digest
from brainalign.datasets.choose import all_files, choose_files
from brainalign.datasets.listing import FileFact, read_listing, write_listing
from brainalign.datasets.manifest import LISTINGS, check_manifest, find_dataset, load_manifest, manifest_path

DATA = Path(__file__).parents[2] / "../shared/data"
ANNEX = DATA / "openneuro_annex_manifests"
SIDECARS = DATA / "ds004408_bids_sidecars"
LISTED = {
    "ds004408": "ds004408",
    "ds005574": "ds005574",
    "ds005345": "ds005345",
    "ds004718": "ds004718",
    "ds004356": "ds004356",
    "ds003774": "ds003774",
    "etard-lmpackage": "etard_LMpackage_examples_gitlfs",
    "hivemind-oldman": "hivemind",
}
needs_annex = pytest.mark.skipif(not ANNEX.exists(), reason="the mirrors' own manifests are not here")


@pytest.fixture(scope="module")
def manifest():
    return load_manifest()


@pytest.fixture(scope="module")
def values() -> dict:
    return yaml.safe_load(manifest_path().read_text(encoding="utf-8"))


def test_it_lies_at_the_top_and_goes_into_the_wheel(root):
    assert manifest_path() == root / "data_manifest.yaml"
    build = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["force-include"] == {"data_manifest.yaml": "brainalign/datasets/data_manifest.yaml"}
    assert "/data_manifest.yaml" in build["sdist"]["include"]


def test_an_installed_one_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "__file__", str(tmp_path / "site" / "brainalign" / "datasets" / "manifest.py"))
    place = tmp_path / "site" / "brainalign" / "datasets"
    place.mkdir(parents=True)
    (place / "data_manifest.yaml").write_text("schema: 1\ndatasets: {}\n", encoding="utf-8")
    assert room.manifest_path() == place / "data_manifest.yaml"
    assert room.load_manifest().datasets == {}


def test_every_dataset_tells_what_a_user_must_know(manifest):
    for name, item in manifest.datasets.items():
        assert item.traps, name
        assert item.onsets, name
        assert item.doi or item.page, name
        assert item.licence.url or item.licence.restrictions, name
        assert re.fullmatch(r"[a-z0-9-]+", name), name


def test_nothing_claims_to_be_verified_here(manifest):
    """No byte of these has been downloaded where this was written; whoever does so changes both."""
    assert [name for name, item in manifest.datasets.items() if item.verified] == []


def test_caps_are_ones_that_mne_knows(manifest):
    known = set(mne.channels.get_builtin_montages())
    assert {item.montage for item in manifest.datasets.values()} - {""} <= known


def test_silent_reading_is_no_listening(manifest):
    with pytest.raises(UnknownName, match=r"no dataset for a listening study\n  got: silent reading"):
        find_dataset("ds004952")
    with pytest.raises(UnknownName, match="did you mean 'fuglsang2017'"):
        find_dataset("fuglsang")


def test_the_traps_of_the_first_choice_are_told(manifest):
    item = manifest.datasets["ds004408"]
    assert "no events" in item.traps[0]
    assert "onset" in item.onsets
    assert (item.subjects, item.channels, item.rate, item.montage) == (19, 128, 512, "biosemi128")
    assert any("byte-identical" in trap for trap in manifest.datasets["fuglsang2017"].traps)


@needs_annex
@pytest.mark.parametrize(("name", "source"), LISTED.items())
def test_hashes_and_sizes_are_the_sources(manifest, name, source):
    theirs = {fact.path: fact for fact in read_listing(ANNEX / f"{source}.tsv")}
    ours = {file.path: FileFact(file.path, file.size, file.hash) for file in all_files(manifest.datasets[name])}
    for path, fact in ours.items():
        assert path not in theirs or fact == theirs[path]
    left_out = {path for path in theirs if path not in ours}
    assert all(re.search(r"/(anat|func|fmap)/", path) for path in left_out), sorted(left_out)[:5]
    assert len(ours.keys() & theirs.keys()) == len(theirs) - len(left_out) > 80


@needs_annex
@pytest.mark.parametrize("name", ["ds004408", "ds005574"])
def test_no_file_of_the_first_two_is_missing(manifest, name):
    ours = {file.path for file in all_files(manifest.datasets[name])}
    assert {fact.path for fact in read_listing(ANNEX / f"{name}.tsv")} - ours == set()


@pytest.mark.skipif(not SIDECARS.exists(), reason="the dataset's own sidecars are not here")
def test_hashes_of_the_sidecars_are_those_of_the_files(manifest):
    ours = {file.path: file for file in all_files(manifest.datasets["ds004408"])}
    paths = [path for path in SIDECARS.rglob("*") if path.is_file() and path.name != "SOURCE.txt"]
    for path in paths:
        file = ours[path.relative_to(SIDECARS).as_posix()]
        assert (file.size, file.hash) == (path.stat().st_size, f"sha256:{file_digest(path)}")
    assert len(paths) == 125


def test_one_run_of_the_first_choice_is_all_that_a_study_needs(manifest):
    files = choose_files(manifest.datasets["ds004408"], subjects=["5"], runs=["15"])
    stem = "sub-005/eeg/sub-005_task-listening_run-15_"
    assert {file.path for file in files if file.subject} == {
        f"{stem}{kind}" for kind in ("eeg.eeg", "eeg.vhdr", "eeg.vmrk", "eeg.json", "channels.tsv")
    }
    assert {file.path for file in files if not file.subject and file.run} == {
        "stimuli/audio15.wav",
        "stimuli/audio15.TextGrid",
    }
    assert all(file.url == f"https://s3.amazonaws.com/openneuro.org/ds004408/{file.path}" for file in files)
    wav = next(file for file in files if file.path.endswith(".wav"))
    assert wav.hash.startswith("sha256:")


def test_every_file_has_an_address_and_every_part_has_files(manifest):
    for name, item in manifest.datasets.items():
        files = all_files(item)
        if item.access == "open":
            assert all(file.url for file in files), name
            assert {file.part for file in files} == set(item.parts), name


def test_sizes_add_up_to_what_is_said(manifest):
    for name in ("ds004408", "ds005574", "ds003774", "etard-lmpackage", "hivemind-oldman"):
        item = manifest.datasets[name]
        known = sum(file.size or 0 for file in all_files(item))
        assert known == pytest.approx(item.size, rel=2e-4), name


@pytest.mark.parametrize(
    ("at", "value", "where", "fix"),
    [
        (("access",), "free", "access", "'open', 'login'"),
        (("licence",), {}, "licence.name", "Field required"),
        (("subjects",), 0, "subjects", "greater than 0"),
        (("colour",), "blue", "colour", "not permitted"),
        (("base",), "ftp://x/", "base", "begins with https"),
        (("doi",), "twelve", "doi", "pattern"),
        (("parts",), {"eeg": {"match": ["("], "about": "x"}}, "parts.eeg.match.0", "no regular expression"),
        (("parts",), {"eeg": {"match": ["(?P<x>a)"], "about": "x"}}, "parts.eeg.match.0", "named groups may be"),
        (("files",), [{"path": "../x"}], "files.0.path", "would not stay"),
        (("files",), [{"path": "a", "hash": "sha256:12"}], "files.0.hash", "64"),
        (("files",), [{"path": "{a}"}], "files.0", "asks for"),
        (("files",), [{"path": "{a}", "names": {"a": ["1"]}, "size": 3}], "files.0", "one file"),
        (("parts",), {}, "ds004408", "needs files"),
    ],
)
def test_mistakes_are_named_with_their_place(values, at, value, where, fix):
    spoilt = deepcopy(values)
    item = spoilt["datasets"]["ds004408"]
    for key in at[:-1]:
        item = item[key]
    item[at[-1]] = value
    with pytest.raises(
        ConfigProblem, match=rf"(?s)x.yaml does not fit its schema, at datasets.ds004408.*got.*{fix}"
    ) as e:
        check_manifest(spoilt, name="x.yaml")
    assert where in str(e.value)


def test_files_that_are_no_manifest(tmp_path):
    with pytest.raises(MissingFile, match="no manifest"):
        load_manifest(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigProblem, match=r"is not YAML\n  got: bad.yaml: .*line"):
        load_manifest(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigProblem, match="at the whole file"):
        load_manifest(tmp_path / "list.yaml")


class TestListings:
    def test_same_lines_same_bytes(self, tmp_path):
        facts = [FileFact("b", 2, "md5:" + "0" * 32), FileFact("a", None, "")]
        one = write_listing(tmp_path / "one.tsv.gz", facts).read_bytes()
        assert one == write_listing(tmp_path / "two.tsv.gz", reversed(facts)).read_bytes()
        assert read_listing(tmp_path / "one.tsv.gz") == tuple(sorted(facts))

    @pytest.mark.parametrize("text", ["", "path\n", "path\tsize\thash_type\thash\na\tx\t-\t-\n"])
    def test_damage(self, tmp_path, text):
        (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
        with pytest.raises(UnreadableFile, match="listing of files cannot be read"):
            read_listing(tmp_path / "a.tsv")

    def test_wrong_hashes_and_compression(self, tmp_path):
        (tmp_path / "a.tsv").write_text("path\tsize\thash_type\thash\na\t1\tmd5\tabc\n", encoding="utf-8")
        with pytest.raises(UnreadableFile, match="a has a hash md5:abc"):
            read_listing(tmp_path / "a.tsv")
        (tmp_path / "a.tsv.gz").write_bytes(b"not compressed")
        with pytest.raises(UnreadableFile, match="a.tsv.gz"):
            read_listing(tmp_path / "a.tsv.gz")
        with pytest.raises(MissingFile, match="listing"):
            read_listing(tmp_path / "none.tsv")

    def test_those_of_the_package_are_as_written(self):
        for path in sorted(LISTINGS.glob("*.tsv.gz")):
            facts = read_listing(path)
            assert [fact.path for fact in facts] == sorted({fact.path for fact in facts}), path.name
        assert {path.name for path in LISTINGS.glob("*")} == {
            item.listing for item in load_manifest().datasets.values() if item.listing
        }
