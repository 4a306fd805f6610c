"""What people see who list and fetch data in a terminal, and what is left when the program is killed."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from brainalign import cli_data
from brainalign.cli import app
from brainalign.datasets.plan import plan_fetch

NAME = "made-up"
CONTENT = {f"sub-00{i}/eeg/sub-00{i}_run-01_eeg.eeg": bytes([i]) * 200_000 for i in (1, 2, 3)}


@pytest.fixture
def manifest(make_dataset, tmp_path, monkeypatch) -> Path:
    """A manifest of one dataset on the server, in place of the package's own."""
    item = make_dataset(CONTENT).model_dump(mode="json", exclude_defaults=True)
    path = tmp_path / "data_manifest.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "datasets": {NAME: item}}), encoding="utf-8")
    monkeypatch.setattr("brainalign.datasets.manifest.manifest_path", lambda: path)
    return path


def _run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_table_names_every_dataset():
    done = _run("datasets")
    assert done.exit_code == 0
    for text in ("ds004408", "fuglsang2017", "CC-BY-NC-4.0", "by-hand", "20.1 GB", "not verified here"):
        assert text in done.output


def test_one_dataset_with_its_traps():
    done = _run("datasets", "ds004408")
    assert "19, eeg, 128 channels at 512 Hz" in done.output
    assert "trap:      no events" in done.output
    assert "verified:  no" in done.output
    wrong = _run("datasets", "fuglsang")
    assert wrong.exit_code == 2
    assert "did you mean 'fuglsang2017'" in wrong.output


def test_a_dry_run_tells_and_does_nothing(manifest, tmp_path, server):
    done = _run("fetch", NAME, "--to", tmp_path / "out", "--dry-run", "--subjects", "1-2")
    assert done.exit_code == 0
    assert "to come: 2 files, 400 kB; there already: 0" in done.output
    assert "not yet accepted" in done.output
    assert not (tmp_path / "out").exists()
    assert not any(served.asked for served in server.http.files.values())


def test_terms_first(manifest, tmp_path):
    done = _run("fetch", NAME, "--to", tmp_path / "out")
    assert done.exit_code == 2
    assert "terms of made-up are to be accepted" in done.output
    assert not (tmp_path / "out").exists()


def test_fetching_twice(manifest, tmp_path):
    done = _run("fetch", f"{NAME}:eeg", "--to", tmp_path / "out", "--accept-licence", "--jobs", 2, "--runs", 1)
    assert done.exit_code == 0, done.output
    assert "fetched 3 files; 0 were there already" in done.output
    assert all((tmp_path / "out" / name).read_bytes() == content for name, content in CONTENT.items())
    again = _run("fetch", NAME, "--to", tmp_path / "out")
    assert "fetched 0 files; 3 were there already" in again.output
    assert "(accepted)" in again.output


def test_from_a_copy(manifest, tmp_path, server):
    _run("fetch", NAME, "--to", tmp_path / "one", "--accept-licence")
    server.http.files.clear()
    done = _run("fetch", NAME, "--to", tmp_path / "two", "--from", tmp_path / "one", "--accept-licence")
    assert "fetched 3 files" in done.output, done.output


def test_failures_end_with_a_code_and_a_remedy(manifest, tmp_path, server):
    server.http.files.clear()
    done = _run("fetch", NAME, "--to", tmp_path / "out", "--accept-licence")
    assert done.exit_code == 2
    assert "3 of 3 files did not come" in done.output
    assert "fix: " in done.output


def test_everything_that_happened_is_told(make_dataset, server, tmp_path, monkeypatch):
    """Files without hashes, files that are missing, files that differed, and archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.txt", b"x" * 2000)
    files = {**CONTENT, "README": b"read me", "data.zip": buffer.getvalue()}
    more = {"README": {"optional": True}, "data.zip": {"unpack": True}}
    item = make_dataset(files, told=False, **more).model_dump(mode="json", exclude_defaults=True)
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "datasets": {NAME: item}}), encoding="utf-8")
    monkeypatch.setattr("brainalign.datasets.manifest.manifest_path", lambda: path)
    del server.http.files["/README"]
    first = next(iter(CONTENT))
    (tmp_path / "out" / first).parent.mkdir(parents=True)
    (tmp_path / "out" / first).write_bytes(b"mine")
    done = _run("fetch", NAME, "--to", tmp_path / "out", "--accept-licence")
    for text in (
        "without a known hash: 5 files",
        "and 5 of unknown size",
        "4 had no known hash",
        "1 optional files are not at the source, e.g. README",
        "1 files that were there differed",
        "1 files came out of archives",
    ):
        assert text in done.output, done.output


def test_a_bar_at_a_terminal_and_lines_elsewhere(make_dataset, tmp_path, monkeypatch, capsys):
    plan = plan_fetch(NAME, tmp_path, dataset=make_dataset(CONTENT))
    monkeypatch.setattr(cli_data, "LINE_EVERY_S", 0.0)
    with cli_data._meter(plan) as tell:
        tell("a", 300_000)
    assert "300 kB of 600 kB have come" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with cli_data._meter(plan) as tell:
        tell("a", 600_000)
    assert "600.0/600.0 kB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(None, "?"), (12, "12 B"), (1234, "1.23 kB"), (999_400, "999 kB"), (20_080_800_000, "20.1 GB"), (435e9, "435 GB")],
)
def test_sizes(n_bytes, text):
    assert cli_data._size(n_bytes) == text


def test_help_shows_an_example():
    assert "Example: brainalign fetch ds004408" in _run("fetch", "--help").output


def test_killed_half_way_and_run_again(manifest, server, tmp_path, root):
    """SIGKILL leaves no time to tidy up: what lies in its place must be whole all the same."""
    for name, content in CONTENT.items():
        server.put(name, content, "stall:150000")
    code = (
        "import sys; from pathlib import Path; import brainalign.datasets.manifest as m; "
        "from brainalign.cli import app; "
        f"m.manifest_path = lambda: Path({str(manifest)!r}); app(sys.argv[1:])"
    )
    words = [sys.executable, "-c", code, "fetch", NAME, "--to", str(tmp_path / "out"), "--accept-licence"]
    env = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        parts = tmp_path / "out" / ".brainalign" / "incoming"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(p.stat().st_size for p in parts.rglob("*.part")):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert any(parts.rglob("*.part"))
    for name, content in CONTENT.items():
        path = tmp_path / "out" / name
        assert not path.exists() or path.read_bytes() == content
        server.http.files[f"/{name}"].faults.clear()
    done = _run("fetch", NAME, "--to", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert all((tmp_path / "out" / name).read_bytes() == content for name, content in CONTENT.items())
    assert any("Range" in served.asked[-1] for served in server.http.files.values())
