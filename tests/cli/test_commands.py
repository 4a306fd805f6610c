import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainalign.cli import app
from brainalign.pipeline.doctor import Check, Verdict
from brainalign.pipeline.store import Store
from tests.cli import stand_in
from tests.pipeline.test_store import flip
from tests.pipeline.toys import bytes_of

ROOT = Path(__file__).parents[2]
COMMANDS = ("demo", "run", "status", "report", "selftest", "doctor")


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "study.yaml"
    path.write_text(f"name: toy\nout: {tmp_path / 'out'}\n")
    monkeypatch.setitem(sys.modules, "brainalign.pipeline.study", stand_in.module(path))
    monkeypatch.chdir(tmp_path)
    return path


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="brainalign")


def run(config, *more):
    return call("run", config, "--jobs", 1, *more)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command):
    found = call(command, "--help")
    assert found.exit_code == 0
    assert f"Example: brainalign {command}" in found.stdout
    assert "\x1b" not in found.stdout


def test_help_names_every_command_and_whole_sentences():
    found = call("--help")
    assert found.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in found.stdout
    assert "..." not in found.stdout.split("Commands:")[1]


def test_help_comes_at_once_and_without_heavy_imports():
    code = "import sys, brainalign.cli as c; c.app(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert time.perf_counter() - start < 2.0
    for heavy in ("numpy", "torch", "rich", "pydantic", "joblib"):
        assert f"'{heavy}'" not in found.stdout


def test_version_and_module():
    found = subprocess.run(
        [sys.executable, "-m", "brainalign", "--version"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith("brainalign 0.")


def test_an_unknown_command_or_option_is_bad_input(config):
    assert call("rum").exit_code == 2
    assert call("run", config, "--job").exit_code == 2
    assert call("run", config, "--jobs", 0).exit_code == 2


def test_run_makes_everything_and_says_where_it_is(config, tmp_path):
    found = run(config)
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "the sum is known",
        f"report: {tmp_path / 'out' / 'report.html'}",
        f"numbers: {tmp_path / 'out' / 'summary.json'}",
    ]
    assert "9 tasks, 0 of them done before" in found.stderr
    assert "done: 9 tasks made, 0 kept from before" in found.stderr
    assert "\x1b" not in found.stdout + found.stderr
    assert "done: 0 tasks made, 9 kept" in run(config).stderr


def test_quiet_says_nothing(config):
    found = run(config, "--quiet")
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "")


def test_options_take_the_place_of_the_files_values(config, tmp_path):
    assert run(config, "--out", tmp_path / "other", "--store", tmp_path / "kept", "--seed", 3).exit_code == 0
    sums = json.loads((tmp_path / "other" / "summary.json").read_text())["sum"]
    assert (tmp_path / "kept" / "noise").is_dir()
    assert not (tmp_path / "out").exists()
    run(config)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["sum"] != sums


def test_demo_goes_where_it_is_told_and_repeats_itself(config, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        found = call("demo", "--quick", "--seed", 7, "--jobs", 1, "--out", folder)
        assert found.exit_code == 0
        assert f"report: {folder / 'report.html'}" in found.stdout
    assert bytes_of(folders[0]) == bytes_of(folders[1])


def test_demo_has_a_place_of_its_own(config, tmp_path):
    assert call("demo", "--jobs", 1).exit_code == 0
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()


def test_status_tells_what_and_why(config):
    assert "9 missing" in call("status", config).stdout
    run(config)
    found = call("status", config)
    assert found.exit_code == 0
    assert found.stdout.splitlines()[1:] == ["9 done"]
    found = call("status", config, "--seed", 100).stdout
    assert "stale  noise[0]    settings: seed 0 -> 100\n" in found
    assert "stale  product[3]  input 'noise' changed\n" in found
    assert f"to make what is not done: brainalign run {config}" in found
    assert "done  noise[0]" in call("status", config, "--all").stdout


def test_report_is_written_again_or_says_what_is_missing(config, tmp_path):
    found = call("report", config)
    assert found.exit_code == 2
    assert "the study is not finished" in found.stderr
    assert "9 of 9 tasks are not done, the first is noise[0] (not made yet)" in found.stderr
    assert not (tmp_path / "out").exists()
    run(config)
    (tmp_path / "out" / "report.html").unlink()
    assert call("report", config).exit_code == 0
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize("command", ["run", "status", "report"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no configuration file"),
        ("", "the configuration is empty"),
        ("name: toy\nsede: 3\n", "did you mean 'seed'?"),
        ("name: toy\nseed: many\n", "line 2, seed: got 'many' (text)"),
        ("name: [\n", "is not valid YAML"),
    ],
)
def test_a_bad_configuration_is_told_in_three_parts_without_a_traceback(config, command, text, told):
    config.unlink()
    if text is not None:
        config.write_text(text)
    found = call(command, config)
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert told in found.stderr
    assert "\n  got: " in found.stderr
    assert "\n  fix: " in found.stderr
    assert "Traceback" not in found.stderr


def test_an_unwritable_store_is_told_before_any_work(config, tmp_path):
    (tmp_path / "file").write_text("")
    found = run(config, "--store", tmp_path / "file" / "store")
    assert found.exit_code == 2
    assert "the store cannot be written to" in found.stderr
    assert "--store" in found.stderr
    assert "tasks" not in found.stderr


def test_damage_is_told_set_aside_and_mended(config, tmp_path):
    run(config)
    store = tmp_path / "out" / "store"
    before = bytes_of(store)
    key = stand_in.load_study(config, {}).plan.key("product[2]")
    flip(Store(store).path(key) / "product.npy")
    assert "damaged  product[2]" in call("status", config).stdout
    assert call("report", config).exit_code == 0  # product[2] is not needed for it
    found = run(config, "--quiet")
    assert found.exit_code == 0
    assert found.stderr.startswith("warning: the result of product[2] was damaged; it was moved to ")
    after = bytes_of(store)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_a_tasks_own_error_names_the_task(config, tmp_path):
    config.write_text(f"name: toy\nfails: kindly\nout: {tmp_path / 'out'}\n")
    found = run(config)
    assert found.exit_code == 2
    assert "error: the noise is too quiet (in bad)\n  got: -90 dB\n  fix: turn it up\n" in found.stderr
    assert "Traceback" not in found.stderr


def test_an_unforeseen_error_is_short_and_its_traceback_is_kept(config, tmp_path):
    config.write_text(f"name: toy\nfails: badly\nout: {tmp_path / 'out'}\n")
    found = run(config)
    assert found.exit_code == 1
    assert "ZeroDivisionError: division by zero" in found.stderr
    assert "--verbose" in found.stderr
    assert "Traceback" not in found.stderr
    assert "in fail_badly" in (tmp_path / "out" / "error.log").read_text()
    assert "in fail_badly" in run(config, "--verbose").stderr


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ("kindly", 2, "the noise is too quiet (in bad)"),
        ("badly", 1, "ZeroDivisionError: division by zero"),
        ("dead", 1, "a worker process was ended from outside"),
    ],
)
def test_errors_come_back_from_other_processes(config, tmp_path, how, code, told):
    config.write_text(f"name: toy\nfails: {how}\nout: {tmp_path / 'out'}\n")
    command = [sys.executable, "-m", "tests.cli.stand_in", "run", str(config), "--jobs", "2"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == code
    assert told in found.stderr
    assert "Traceback" not in found.stderr
    assert not any((tmp_path / "out" / "store" / "sum").glob("*"))


def test_an_unforeseen_error_outside_the_tasks(config, monkeypatch):
    monkeypatch.setattr(sys.modules["brainalign.pipeline.study"], "write_outputs", lambda *_, **__: 1 / 0)
    found = run(config)
    assert found.exit_code == 1
    assert "error: this was not foreseen: ZeroDivisionError" in found.stderr


def test_an_interrupt_has_its_own_code_and_message(config, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["brainalign.pipeline.study"], "write_outputs", interrupted)
    found = run(config)
    assert found.exit_code == 130
    assert "interrupted; what is done is kept" in found.stderr


@pytest.mark.parametrize("whole_group", [False, True])
def test_an_interrupted_run_stops_soon_and_goes_on_later(config, tmp_path, whole_group):
    config.write_text(f"name: toy\nsleep: 0.2\nout: {tmp_path / 'out'}\n")
    command = [sys.executable, "-m", "tests.cli.stand_in", "run", str(config), "--jobs", "2"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run started in the background is deaf to interrupts, and so would its children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    noises = tmp_path / "out" / "store" / "noise"
    while not any(noises.glob("[!.]*/header.json")):
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    told = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    assert "interrupted; what is done is kept" in told
    assert "Traceback" not in told
    again = run(config)
    assert again.exit_code == 0
    assert "9 tasks, 0 of them" not in again.stderr


def test_doctor_ends_with_one_where_a_check_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("brainalign.pipeline.doctor._gpu", lambda: Check("gpu", Verdict.OK, "not looked for"))
    (tmp_path / "file").write_text("")
    found = call("doctor", "--store", tmp_path / "file" / "store")
    assert found.exit_code == 1
    assert "fail: store: choose another folder with --store" in found.stdout
