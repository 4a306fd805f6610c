import os
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from brainalign.core.artefact import Artefact
from brainalign.core.errors import DamagedArtefact, MissingFile, StoreProblem
from brainalign.pipeline.store import Condition, Store

KEY = "noise/" + "ab" * 32
GONE = 2**22 + 7  # larger than any process number


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    store.put(KEY, Artefact("noise", {"rate": 50}, {"values": np.arange(5.0)}))
    return store


def test_making_a_store_touches_nothing(tmp_path):
    store = Store(tmp_path / "store")
    assert not store.has(KEY)
    assert store.condition(KEY) is Condition.ABSENT
    assert not store.folder.exists()


def test_round_trip_is_memory_mapped_and_read_only(store):
    artefact = store.get(KEY)
    assert isinstance(artefact.arrays["values"], np.memmap)
    assert artefact.meta["rate"] == 50
    with pytest.raises(ValueError, match="read-only"):
        artefact.arrays["values"][0] = 1


def test_what_is_absent_says_how_to_make_it(store):
    with pytest.raises(MissingFile, match="brainalign run"):
        store.get("noise/" + "0" * 64)


@pytest.mark.parametrize("at", [10, -1])
@pytest.mark.parametrize("part", ["values.npy", "header.json"])
def test_one_flipped_bit_is_found_anywhere(store, part, at):
    flip(store.path(KEY) / part, at)
    fresh = Store(store.folder)
    assert fresh.condition(KEY) is Condition.DAMAGED
    with pytest.raises(DamagedArtefact, match="damaged"):
        fresh.get(KEY)


def test_a_changed_value_in_the_header_is_found(store):
    header = store.path(KEY) / "header.json"
    header.write_text(header.read_text().replace('"rate":50', '"rate":60'))
    assert store.condition(KEY) is Condition.DAMAGED


@pytest.mark.parametrize("part", ["values.npy", "header.json"])
def test_a_part_that_is_gone_is_damage(store, part):
    (store.path(KEY) / part).unlink()
    assert store.condition(KEY) is Condition.DAMAGED


def test_hashes_are_checked_once_per_process(store, monkeypatch):
    checked = []
    monkeypatch.setattr("brainalign.pipeline.store.verify_artefact", checked.append)
    store.get(KEY)
    store.get(KEY)
    assert len(checked) == 1
    Store(store.folder).get(KEY)
    assert len(checked) == 2


def test_set_aside_loses_nothing_and_may_happen_again(store):
    for expected in ("", "-2"):
        if not store.has(KEY):
            store.put(KEY, Artefact("noise", {}, {"values": np.arange(5.0)}))
        moved = store.set_aside(KEY)
        assert moved.name == KEY.replace("/", "-") + expected
        assert (moved / "values.npy").is_file()
        assert store.condition(KEY) is Condition.ABSENT


def test_a_store_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreProblem, match=r"cannot be written to(.|\n)*file(.|\n)*--store"):
        Store(tmp_path / "file" / "store").prepare()


def test_a_store_where_nothing_can_be_made_is_refused():
    with pytest.raises(StoreProblem, match="cannot be written to"):
        Store("/proc/self/store").prepare()


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(StoreProblem, match=r"too little room(.|\n)*1 MiB free"):
        Store(tmp_path / "store").prepare()


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(store, sleeper):
    dead, own, alive = (store.folder / "noise" / f".{'cd' * 32}.{pid}.tmp" for pid in (GONE, os.getpid(), sleeper.pid))
    index = store.folder / "index" / "toy" / f".sum.json.{GONE}.tmp"
    for folder in (dead, own, alive, index.parent):
        folder.mkdir(parents=True)
    index.write_text("{")
    store.prepare()
    assert [path.exists() for path in (dead, own, index, alive)] == [False, False, False, True]
    assert store.condition(KEY) is Condition.SOUND


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a zombie is cannot be asked elsewhere")
@pytest.mark.parametrize("where", ["noise/.{}.{}.tmp", "running/{}.{}"])
def test_leftovers_of_killed_processes_that_nobody_waited_for_go(store, sleeper, where):
    leftover = store.folder / where.format(socket.gethostname(), sleeper.pid)
    leftover.mkdir(parents=True)
    sleeper.kill()
    # It is not waited for, so it keeps its number: what a container does where nobody collects orphans.
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    store.prepare()
    assert not leftover.exists()


def test_leftovers_stay_while_another_machine_is_at_work(store):
    leftover = store.folder / "noise" / f".{'cd' * 32}.{GONE}.tmp"
    leftover.mkdir()
    elsewhere = store.folder / "running" / "another-machine.12"
    elsewhere.mkdir(parents=True)
    store.prepare()
    assert leftover.exists()
    os.utime(elsewhere, (0, 0))
    store.prepare()
    assert not leftover.exists()


def test_records_are_kept_by_run_and_task(store):
    assert store.recall("toy", "noise[0]") is None
    store.remember("toy", "noise[0]", {"version": 1})
    store.remember("other", "noise[0]", {"version": 2})
    assert store.recall("toy", "noise[0]") == {"version": 1}


def test_a_broken_record_is_as_good_as_none(store):
    store.remember("toy", "sum", {"version": 1})
    (store.folder / "index" / "toy" / "sum.json").write_text("{broken")
    assert store.recall("toy", "sum") is None
