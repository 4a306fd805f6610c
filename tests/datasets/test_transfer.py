"""Whatever a server does, the file is right in the end, or there is none and the reason is told."""

import threading

import numpy as np
import pytest

from brainalign.datasets.transfer import NotThere, Patience, ResumingDownloader, Stopped, TransferProblem
from tests.datasets.conftest import HASTY

SIZE = 900_001
CONTENT = np.random.default_rng(7).bytes(SIZE)


def _get(server, folder, *, size=SIZE, has_hash=True, path="a.eeg", **more):
    carrier = ResumingDownloader(folder / "a.part", size=size, has_hash=has_hash, patience=HASTY, **more)
    carrier(f"{server.url}{path}", folder / "a.eeg")
    return carrier


def _whole(folder):
    return (folder / "a.eeg").read_bytes() == CONTENT and not (folder / "a.part").exists()


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["reset:100000"],
        ["reset:0", "close:300000"],
        ["close:1", "reset:400000"],
        ["stall:200000"],
        ["status:503", "status:429"],
        ["close:300000", "status:500"],
        ["close:500000", "shifted"],
        ["chunked"],
        ["chunked:200000"],
        ["unsized"],
        ["promise"],
    ],
    ids=lambda faults: "-".join(fault.replace(":", "") for fault in faults) or "none",
)
def test_faults_that_trying_again_mends(server, tmp_path, faults):
    server.put("a.eeg", CONTENT, *faults)
    size = None if faults == ["promise"] else len(CONTENT)
    if faults == ["promise"]:  # without a size, what the server promises is what must come
        server.http.files["/a.eeg"].ranges = False
    _get(server, tmp_path, size=size)
    assert _whole(tmp_path)


def test_going_on_asks_for_the_rest_only(server, tmp_path):
    served = server.put("a.eeg", CONTENT, "close:262144", headers={"ETag": '"one"'})
    counts = []
    carrier = _get(server, tmp_path, tell=counts.append)
    assert [asked.get("Range") for asked in served.asked] == [None, "bytes=262144-"]
    assert served.asked[1]["If-Range"] == '"one"'
    assert served.asked[0]["Accept-Encoding"] == "identity"
    assert carrier.resumed
    assert sum(counts) == len(CONTENT)
    assert _whole(tmp_path)


def test_what_lies_there_from_yesterday_is_gone_on_with(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT[:600_000])
    served = server.put("a.eeg", CONTENT)
    assert _get(server, tmp_path).resumed
    assert served.asked[0]["Range"] == "bytes=600000-"
    assert _whole(tmp_path)


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.part.etag").write_text('"old"', encoding="utf-8")
    server.put("a.eeg", CONTENT, headers={"ETag": '"new"'})
    _get(server, tmp_path)
    assert _whole(tmp_path)


@pytest.mark.parametrize("n_there", [10, 899_999])
def test_a_server_without_ranges_is_asked_for_all_of_it(server, tmp_path, n_there):
    (tmp_path / "a.part").write_bytes(CONTENT[:n_there])
    server.put("a.eeg", CONTENT, ranges=False)
    _get(server, tmp_path)
    assert _whole(tmp_path)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_more_than_there_is_starts_over(server, tmp_path, size):
    (tmp_path / "a.part").write_bytes(CONTENT + b"too much")
    server.put("a.eeg", CONTENT)
    _get(server, tmp_path, size=size)
    assert _whole(tmp_path)


def test_redirects_are_followed_with_their_ranges(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT[:5000])
    server.put("here.eeg", b"", "redirect:/there/a.eeg", "redirect:/there/a.eeg")
    served = server.put("there/a.eeg", CONTENT)
    _get(server, tmp_path, path="here.eeg")
    assert served.asked[0]["Range"] == "bytes=5000-"
    assert _whole(tmp_path)


def test_redirects_without_end(server, tmp_path):
    server.put("a.eeg", CONTENT, *["redirect:/a.eeg"] * 20)
    with pytest.raises(TransferProblem, match=r"without end[\s\S]*8 redirects[\s\S]*--from"):
        _get(server, tmp_path)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a.eeg"])
def test_redirects_to_other_kinds_of_address_are_refused(server, tmp_path, target):
    server.put("a.eeg", CONTENT, f"redirect:{target}")
    with pytest.raises(TransferProblem, match=r"less safe[\s\S]*to (file|ftp):"):
        _get(server, tmp_path)


def test_no_redirect_leads_from_an_encrypted_address_to_an_open_one():
    from brainalign.datasets.transfer import _require_safe_redirect

    _require_safe_redirect("https://a.org/x", "https://b.org/x")
    _require_safe_redirect("http://a.org/x", "https://b.org/x")
    with pytest.raises(TransferProblem, match="less safe"):
        _require_safe_redirect("https://a.org/x", "http://a.org/x")


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (404, NotThere, "moved or never was"),
        (410, NotThere, "taken away"),
        (403, TransferProblem, "refuses programs"),
        (401, TransferProblem, "wants a login"),
        (418, TransferProblem, "it refuses"),
    ],
)
def test_refusals_are_told_at_once(server, tmp_path, status, kind, text):
    served = server.put("a.eeg", CONTENT, *[f"status:{status}"] * 5)
    with pytest.raises(kind, match=rf"{text}[\s\S]*got: {status} from[\s\S]*--from FOLDER"):
        _get(server, tmp_path)
    assert len(served.asked) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["reset:1000", "stall:1000", "close:1000", "status:503"])
def test_a_server_that_never_recovers(server, tmp_path, fault):
    served = server.put("a.eeg", CONTENT, *[fault] * 9)
    with pytest.raises(TransferProblem, match=r"failed 3 times in a row[\s\S]*of 900001 bytes[\s\S]*goes on where"):
        _get(server, tmp_path)
    assert len(served.asked) == 3
    assert not (tmp_path / "a.eeg").exists()


def test_progress_earns_more_tries(server, tmp_path, monkeypatch):
    monkeypatch.setattr("brainalign.datasets.transfer._GAIN_BYTES", 100_000)
    server.put("a.eeg", CONTENT, *["close:150000"] * 5)
    _get(server, tmp_path)
    assert _whole(tmp_path)


def test_nobody_listens(tmp_path):
    carrier = ResumingDownloader(tmp_path / "a.part", size=1, patience=HASTY)
    with pytest.raises(TransferProblem, match="failed 3 times in a row"):
        carrier("http://127.0.0.1:9/a.eeg", tmp_path / "a.eeg")


@pytest.mark.parametrize("url", ["nonsense", "gopher://127.0.0.1/a", "http://"])
def test_addresses_that_are_none(tmp_path, url):
    carrier = ResumingDownloader(tmp_path / "a.part", size=1, patience=HASTY)
    with pytest.raises(TransferProblem, match="cannot be asked"):
        carrier(url, tmp_path / "a.eeg")


@pytest.mark.parametrize("faults", [[], ["unsized"]], ids=["told", "untold"])
@pytest.mark.parametrize("more", [-1, 1])
def test_another_size_than_the_manifests(server, tmp_path, faults, more):
    server.put("a.eeg", CONTENT, *faults * 5)
    with pytest.raises(TransferProblem, match=r"has not the size|failed 3 times"):
        _get(server, tmp_path, size=len(CONTENT) + more)
    assert not (tmp_path / "a.eeg").exists()


def test_a_flood_ends_at_the_files_size(server, tmp_path):
    server.put("a.eeg", CONTENT * 4, "unsized")
    with pytest.raises(TransferProblem, match="more than the 900001 bytes"):
        _get(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_web_page_is_no_recording(server, tmp_path):
    server.put("a.eeg", b"<html>please log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(TransferProblem, match=r"web page came instead[\s\S]*text/html"):
        _get(server, tmp_path, size=None)


def test_compression_on_the_way_is_refused(server, tmp_path):
    server.put("a.eeg", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(TransferProblem, match=r"compressed on the way[\s\S]*gzip"):
        _get(server, tmp_path)


def test_a_file_of_which_nothing_is_known_needs_an_end(server, tmp_path):
    server.put("a.eeg", CONTENT, "unsized", "chunked")
    with pytest.raises(TransferProblem, match="whether this file came whole"):
        _get(server, tmp_path, size=None, has_hash=False)
    _get(server, tmp_path, size=None, has_hash=False)  # chunks tell where they end
    assert _whole(tmp_path)


@pytest.mark.parametrize("seed", range(25))
def test_any_sequence_of_faults_ends_in_the_file_or_in_an_error(server, tmp_path, seed):
    """Faults drawn at random: the bytes are right, or nothing is there and the reason is told in three parts."""
    rng = np.random.default_rng(seed)
    kinds = ("reset", "close", "status:503", "status:404", "shifted", "chunked", "unsized", "promise", "content:no", "")
    faults = [str(rng.choice(kinds)) for _ in range(rng.integers(1, 7))]
    faults = [f"{kind}:{rng.integers(0, SIZE)}" if kind in ("reset", "close") else kind for kind in faults]
    headers = {"ETag": '"same"'} if rng.random() < 0.5 else {}
    server.put("a.eeg", CONTENT, *faults, headers=headers, ranges=bool(rng.random() < 0.8))
    try:
        _get(server, tmp_path, size=None if rng.random() < 0.3 else SIZE, has_hash=False)
    except TransferProblem as problem:
        assert problem.got
        assert problem.fix
        assert not (tmp_path / "a.eeg").exists()
    else:
        came = (tmp_path / "a.eeg").read_bytes()
        assert came == CONTENT or (came == b"no" and "content:no" in faults)


def test_pauses_grow_and_heed_the_server():
    patience = Patience(pause_s=1.0)
    assert [patience.pause(n) for n in (1, 2, 3, 9)] == [1, 2, 4, 30]
    assert patience.pause(1, wanted=12) == 12
    assert patience.pause(1, wanted=3600) == 30


def test_a_server_that_asks_for_time_gets_it(server, tmp_path):
    server.put("a.eeg", CONTENT, "status:503", headers={"Retry-After": "7"})
    waited = []
    stop = threading.Event()
    stop.wait = waited.append
    _get(server, tmp_path, stop=stop)
    assert waited == [7]


def test_a_stopped_transfer_keeps_its_pieces(server, tmp_path):
    server.put("a.eeg", CONTENT)
    stop = threading.Event()
    with pytest.raises(Stopped):
        _get(server, tmp_path, stop=stop, tell=lambda count: stop.set() if count > 0 else None)
    kept = (tmp_path / "a.part").read_bytes()
    assert 0 < len(kept) < len(CONTENT)
    _get(server, tmp_path)
    assert _whole(tmp_path)
