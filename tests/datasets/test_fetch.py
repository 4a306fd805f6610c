"""A fetch ends with whole files in their places, or says why not; it never believes half a file."""

import errno
import json
import shutil
import threading
import zipfile
from collections import namedtuple

import pytest

from brainalign.core.errors import StoreProblem, UnknownName, ValueProblem
from brainalign.datasets.choose import choose_files
from brainalign.datasets.fetch import LicenceNotAccepted, carry_out, clear_incoming, fetch_dataset
from brainalign.datasets.plan import plan_fetch
from brainalign.datasets.state import FolderMemory
from brainalign.datasets.transfer import TransferProblem
from tests.datasets.conftest import HASTY

FILES = {
    "sub-001/eeg/sub-001_run-01_eeg.eeg": b"one one " * 5000,
    "sub-001/eeg/sub-001_run-02_eeg.eeg": b"one two " * 5000,
    "sub-002/eeg/sub-002_run-01_eeg.eeg": b"two one " * 5000,
    "extra/mri.nii": b"mri",
    "README": b"read me",
}
USUAL = sorted(set(FILES) - {"extra/mri.nii"})


def _fetch(dataset, folder, **more):
    choice = {key: more.pop(key) for key in ("subjects", "runs", "parts", "source") if key in more}
    plan = plan_fetch("made-up", folder, dataset=dataset, **choice)
    return carry_out(plan, **{"accept_licence": True, "patience": HASTY, "jobs": 2, **more})


def _there(folder):
    """Everything in a folder but what is in its memory."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".brainalign" not in path.parts
    )


def test_everything_comes_whole_and_once(make_dataset, server, tmp_path):
    dataset = make_dataset(FILES)
    report = _fetch(dataset, tmp_path)
    assert list(report.fetched) == _there(tmp_path) == USUAL
    assert all((tmp_path / name).read_bytes() == FILES[name] for name in USUAL)
    asked = {path: len(served.asked) for path, served in server.http.files.items()}
    again = _fetch(dataset, tmp_path)
    assert again.fetched == ()
    assert list(again.kept) == USUAL
    assert asked == {path: len(served.asked) for path, served in server.http.files.items()}
    assert not list((tmp_path / ".brainalign" / "incoming").rglob("*.part"))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"subjects": ["2"]}, ["README", "sub-002/eeg/sub-002_run-01_eeg.eeg"]),
        ({"subjects": ["sub-001"], "runs": ["02"]}, ["README", "sub-001/eeg/sub-001_run-02_eeg.eeg"]),
        ({"runs": ["1-1"]}, ["README", "sub-001/eeg/sub-001_run-01_eeg.eeg", "sub-002/eeg/sub-002_run-01_eeg.eeg"]),
        ({"parts": ["extra"]}, ["extra/mri.nii"]),
    ],
)
def test_choices(make_dataset, tmp_path, choice, expected):
    assert list(_fetch(make_dataset(FILES), tmp_path, **choice).fetched) == expected


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"subjects": ["9"]}, r"no subject of that name\n  got: '9'\n  fix: known: 001, 002"),
        ({"runs": ["x"]}, r"no run of that name\n  got: 'x'\n  fix: known: 01, 02"),
        ({"parts": ["eg"]}, r"no part of this dataset[\s\S]*did you mean 'eeg'"),
    ],
)
def test_unknown_choices_name_the_known(make_dataset, choice, text):
    with pytest.raises(UnknownName, match=text):
        choose_files(make_dataset(FILES), **choice)


def test_a_range_that_runs_backwards(make_dataset):
    with pytest.raises(ValueProblem, match="from the smaller"):
        choose_files(make_dataset(FILES), subjects=["3-1"])


@pytest.mark.parametrize("jobs", [1, 4])
def test_broken_connections_end_in_right_files(make_dataset, tmp_path, jobs):
    faults = {
        USUAL[1]: ["reset:10000", "close:5"],
        USUAL[2]: ["stall:20000"],
        USUAL[3]: ["status:503", "chunked:1000"],
    }
    report = _fetch(make_dataset(FILES, faults=faults), tmp_path, jobs=jobs)
    assert list(report.fetched) == USUAL
    assert all((tmp_path / name).read_bytes() == FILES[name] for name in USUAL)


def test_a_wrong_hash_is_refused_and_the_others_come(make_dataset, server, tmp_path):
    dataset = make_dataset(FILES)
    bad = USUAL[2]
    server.put(bad, FILES[bad][::-1])
    with pytest.raises(TransferProblem, match=rf"its hash is another\n  got: {bad} from http"):
        _fetch(dataset, tmp_path)
    assert _there(tmp_path) == sorted(set(USUAL) - {bad})
    assert not list((tmp_path / ".brainalign" / "incoming").rglob("*.eeg*"))
    server.put(bad, FILES[bad])
    assert list(_fetch(dataset, tmp_path).fetched) == [bad]


def test_rotten_pieces_of_yesterday_are_fetched_once_more(make_dataset, tmp_path):
    dataset = make_dataset(FILES)
    part = tmp_path / ".brainalign" / "incoming" / f"{USUAL[1]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"rotten")
    _fetch(dataset, tmp_path)
    assert (tmp_path / USUAL[1]).read_bytes() == FILES[USUAL[1]]


def test_pieces_of_a_wrong_file_are_fetched_twice_and_no_more(make_dataset, server, tmp_path):
    dataset = make_dataset({"README": bytes(200_000)})
    served = server.put("README", b"\x01" * 200_000, "close:70000", "", "close:70000", "", "close:70000", "")
    with pytest.raises(TransferProblem, match="its hash is another"):
        _fetch(dataset, tmp_path)
    assert len(served.asked) == 4


def test_several_failures_are_counted(make_dataset, tmp_path):
    faults = {USUAL[1]: ["status:403"], USUAL[3]: ["status:404"]}
    with pytest.raises(TransferProblem, match=r"2 of 4 files did not come; the first: the server does not give"):
        _fetch(make_dataset(FILES, faults=faults), tmp_path, jobs=1)
    assert _there(tmp_path) == [USUAL[0], USUAL[2]]


def test_optional_files_may_be_missing(make_dataset, server, tmp_path):
    dataset = make_dataset(FILES, told=False, README={"optional": True})
    del server.http.files["/README"]
    report = _fetch(dataset, tmp_path)
    assert report.absent == ("README",)
    assert _there(tmp_path) == USUAL[1:]


def test_files_without_a_hash_are_remembered_and_checked(make_dataset, tmp_path):
    dataset = make_dataset(FILES, told=False)
    report = _fetch(dataset, tmp_path)
    assert list(report.unverified) == USUAL
    assert list(_fetch(dataset, tmp_path).kept) == USUAL
    (tmp_path / "README").write_bytes(b"changed")
    again = _fetch(dataset, tmp_path)
    assert again.fetched == again.replaced == ("README",)
    assert (tmp_path / ".brainalign" / "replaced" / "README").read_bytes() == b"changed"


def test_a_file_of_unknown_origin_is_not_believed(make_dataset, tmp_path):
    """Its hash is not known, and no fetch has put it there: it may be half of what it should be."""
    (tmp_path / "README").write_bytes(b"read")
    _fetch(make_dataset(FILES, told=False), tmp_path)
    assert (tmp_path / "README").read_bytes() == FILES["README"]


@pytest.mark.parametrize("damage", [b"", b"one one ", FILES[USUAL[1]][:-1] + b"x", FILES[USUAL[1]] + b"x"])
def test_damaged_files_are_fetched_again(make_dataset, tmp_path, damage):
    dataset = make_dataset(FILES)
    _fetch(dataset, tmp_path)
    (tmp_path / USUAL[1]).write_bytes(damage)
    assert list(_fetch(dataset, tmp_path).fetched) == [USUAL[1]]
    assert (tmp_path / USUAL[1]).read_bytes() == FILES[USUAL[1]]


def test_an_interrupted_fetch_goes_on(make_dataset, server, tmp_path):
    dataset = make_dataset({"README": bytes(1_000_000)})

    def interrupt(_path, count):
        if count > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fetch(dataset, tmp_path, tell=interrupt)
    assert _there(tmp_path) == []
    _fetch(dataset, tmp_path)
    assert server.http.files["/README"].asked[1]["Range"].startswith("bytes=")
    assert (tmp_path / "README").read_bytes() == bytes(1_000_000)


class TestLicence:
    def test_it_is_accepted_once_per_folder(self, make_dataset, tmp_path):
        dataset = make_dataset(FILES)
        with pytest.raises(
            LicenceNotAccepted, match=r"terms of made-up[\s\S]*CC0-1.0; do not tell[\s\S]*--accept-licence"
        ):
            _fetch(dataset, tmp_path, accept_licence=False)
        assert not list(tmp_path.iterdir())
        _fetch(dataset, tmp_path, runs=["1"])
        assert len(_fetch(dataset, tmp_path, accept_licence=False).fetched) == 1
        with pytest.raises(LicenceNotAccepted):
            _fetch(dataset, tmp_path / "other", accept_licence=False)

    def test_other_terms_are_other_terms(self, make_dataset, tmp_path):
        dataset = make_dataset(FILES)
        _fetch(dataset, tmp_path)
        licence = dataset.licence.model_copy(update={"restrictions": "pay first"})
        with pytest.raises(LicenceNotAccepted, match="pay first"):
            _fetch(dataset.model_copy(update={"licence": licence}), tmp_path, accept_licence=False)


class TestRoom:
    Usage = namedtuple("Usage", "total used free")

    def test_too_little_is_refused_before_anything_comes(self, make_dataset, server, tmp_path, monkeypatch):
        dataset = make_dataset(FILES)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: self.Usage(10, 9, 1000))
        with pytest.raises(StoreProblem, match=r"not enough room[\s\S]*0.00 GB are free[\s\S]*--to"):
            _fetch(dataset, tmp_path)
        assert not list(tmp_path.iterdir())
        assert not any(served.asked for served in server.http.files.values())

    def test_pieces_that_came_count(self, make_dataset, tmp_path):
        dataset = make_dataset(FILES)
        before = plan_fetch("made-up", tmp_path, dataset=dataset).n_bytes
        part = tmp_path / ".brainalign" / "incoming" / f"{USUAL[1]}.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(FILES[USUAL[1]][:1000])
        assert plan_fetch("made-up", tmp_path, dataset=dataset).n_bytes == before - 1000

    def test_a_disk_that_fills_up_says_so(self, make_dataset, tmp_path, monkeypatch):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("brainalign.datasets.transfer.ResumingDownloader._write", full)
        with pytest.raises(StoreProblem, match=r"disk is full[\s\S]*goes on where"):
            _fetch(make_dataset(FILES), tmp_path)


class TestPlaces:
    @pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "C:\\x", "a\\b", "", "a//b", "a\nb", "./a"])
    def test_names_that_lead_out_never_get_into_a_manifest(self, make_dataset, path):
        with pytest.raises(ValueError, match="would not stay|not a valid|begins with|between"):
            make_dataset({path: b"x"})

    def test_links_in_the_folder_are_not_followed(self, make_dataset, tmp_path):
        outside, folder = tmp_path / "outside", tmp_path / "data"
        outside.mkdir()
        folder.mkdir()
        (folder / "sub-001").symlink_to(outside)
        with pytest.raises(ValueProblem, match=r"symbolic link stands in the way[\s\S]*leads to"):
            _fetch(make_dataset(FILES), folder)
        assert not list(outside.iterdir())

    def test_two_fetches_at_once_are_one_too_many(self, make_dataset, tmp_path):
        dataset = make_dataset(FILES)
        with FolderMemory(tmp_path).locked(), pytest.raises(StoreProblem, match="another program is fetching"):
            _fetch(dataset, tmp_path)


class TestOffline:
    def _copy(self, folder, files=FILES):
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    def test_a_copy_is_as_good_as_the_network(self, make_dataset, server, tmp_path):
        dataset = make_dataset(FILES)
        report = _fetch(dataset, tmp_path / "data", source=self._copy(tmp_path / "copy"))
        assert list(report.fetched) == USUAL
        assert not any(served.asked for served in server.http.files.values())

    @pytest.mark.parametrize(
        ("content", "text"),
        [(b"one", "has not the size"), (FILES[USUAL[1]][::-1], "its hash is another"), (None, "not in the offline")],
        ids=["short", "wrong", "none"],
    )
    def test_a_bad_copy_is_not(self, make_dataset, tmp_path, content, text):
        copy = self._copy(tmp_path / "copy")
        (copy / USUAL[1]).unlink()
        if content is not None:
            (copy / USUAL[1]).write_bytes(content)
        with pytest.raises(TransferProblem, match=text):
            _fetch(make_dataset(FILES), tmp_path / "data", source=copy)
        assert USUAL[1] not in _there(tmp_path / "data")

    def test_links_of_a_datalad_clone_are_followed_within_it(self, make_dataset, tmp_path):
        copy = self._copy(tmp_path / "copy")
        (copy / ".git").mkdir()
        (copy / USUAL[1]).rename(copy / ".git" / "object")
        (copy / USUAL[1]).symlink_to("../../.git/object")
        _fetch(make_dataset(FILES), tmp_path / "data", source=copy)
        assert not (tmp_path / "data" / USUAL[1]).is_symlink()
        (copy / ".git" / "object").unlink()
        with pytest.raises(TransferProblem, match=r"link to nothing[\s\S]*datalad get"):
            _fetch(make_dataset(FILES), tmp_path / "more", source=copy)

    def test_links_that_lead_out_are_not(self, make_dataset, tmp_path):
        copy = self._copy(tmp_path / "copy")
        (tmp_path / "secret").write_bytes(FILES[USUAL[1]])
        (copy / USUAL[1]).unlink()
        (copy / USUAL[1]).symlink_to(tmp_path / "secret")
        with pytest.raises(ValueProblem, match="leads out of it"):
            _fetch(make_dataset(FILES), tmp_path / "data", source=copy)

    def test_what_programs_cannot_reach_can_be_given(self, make_dataset, tmp_path):
        dataset = make_dataset(FILES).model_copy(update={"access": "request"})
        with pytest.raises(ValueProblem, match=r"not open to programs[\s\S]*ask there for access[\s\S]*--from"):
            _fetch(dataset, tmp_path / "data")
        assert _fetch(dataset, tmp_path / "data", source=self._copy(tmp_path / "copy")).fetched

    def test_a_folder_that_is_not_there(self, make_dataset, tmp_path):
        with pytest.raises(ValueProblem, match="folder to take files from"):
            _fetch(make_dataset(FILES), tmp_path / "data", source=tmp_path / "nowhere")


class TestUnpacking:
    @pytest.fixture
    def zipped(self, tmp_path) -> bytes:
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            archive.writestr("dataCND/dataSub1.mat", b"mat" * 1000)
            archive.writestr("dataCND/dataStim.mat", b"stim" * 1000)
        return (tmp_path / "made.zip").read_bytes()

    def test_archives_are_unpacked_once_and_checked(self, make_dataset, tmp_path, zipped):
        dataset = make_dataset({"data.zip": zipped}, **{"data.zip": {"unpack": True}})
        report = _fetch(dataset, tmp_path / "data")
        assert report.unpacked == ("dataCND/dataSub1.mat", "dataCND/dataStim.mat")
        stamp = (tmp_path / "data/dataCND/dataSub1.mat").stat().st_mtime_ns
        _fetch(dataset, tmp_path / "data")
        assert (tmp_path / "data/dataCND/dataSub1.mat").stat().st_mtime_ns == stamp
        (tmp_path / "data/dataCND/dataSub1.mat").unlink()
        _fetch(dataset, tmp_path / "data")
        assert (tmp_path / "data/dataCND/dataSub1.mat").read_bytes() == b"mat" * 1000

    def test_a_file_in_the_way_is_not_overwritten(self, make_dataset, tmp_path, zipped):
        dataset = make_dataset({"data.zip": zipped}, **{"data.zip": {"unpack": True}})
        (tmp_path / "data/dataCND").mkdir(parents=True)
        (tmp_path / "data/dataCND/dataSub1.mat").write_bytes(b"mine")
        with pytest.raises(StoreProblem, match="would overwrite"):
            _fetch(dataset, tmp_path / "data")
        assert (tmp_path / "data/dataCND/dataSub1.mat").read_bytes() == b"mine"
        assert not (tmp_path / "data/dataCND/dataStim.mat").exists()


def test_a_damaged_memory_says_what_to_remove(make_dataset, tmp_path):
    dataset = make_dataset(FILES)
    _fetch(dataset, tmp_path)
    (tmp_path / ".brainalign" / "licences.json").write_text("{", encoding="utf-8")
    with pytest.raises(OSError, match=r"cannot be read[\s\S]*remove .brainalign/licences.json"):
        _fetch(dataset, tmp_path)


def test_pieces_can_be_thrown_away(make_dataset, tmp_path):
    _fetch(make_dataset(FILES), tmp_path)
    (tmp_path / ".brainalign" / "incoming" / "x.part").write_bytes(b"x")
    clear_incoming(tmp_path)
    assert not (tmp_path / ".brainalign" / "incoming").exists()
    assert _there(tmp_path) == USUAL
    with pytest.raises(ValueProblem, match="nothing was ever fetched"):
        clear_incoming(tmp_path / "nowhere")


def test_terms_are_kept_as_text_that_people_can_read(make_dataset, tmp_path):
    _fetch(make_dataset(FILES), tmp_path)
    kept = json.loads((tmp_path / ".brainalign" / "licences.json").read_text(encoding="utf-8"))
    assert kept == [{"dataset": "made-up", "licence": "CC0-1.0", "terms": "do not tell anybody", "version": ""}]


def test_a_dataset_by_name_needs_its_terms_accepted(tmp_path):
    with pytest.raises(LicenceNotAccepted, match="ds004408"):
        fetch_dataset("ds004408", tmp_path, subjects=["1"], runs=["1"])


def test_connections_are_used_again(make_dataset, server, tmp_path):
    _fetch(make_dataset({f"sub-001/run-{i:02d}.eeg": bytes([i]) for i in range(20)}), tmp_path, jobs=2)
    ports = {served.port for served in server.http.files.values()}
    assert len(ports) <= 2


def test_progress_is_told_from_every_thread(make_dataset, tmp_path):
    told, lock = {}, threading.Lock()

    def tell(path, count):
        with lock:
            told[path] = told.get(path, 0) + count

    _fetch(make_dataset(FILES), tmp_path, tell=tell, jobs=4)
    assert told == {name: len(FILES[name]) for name in USUAL}
