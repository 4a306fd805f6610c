"""Does the code that docs/datasets.md shows do what the page says, on a replica of the dataset it speaks of?"""

import re

import numpy as np
import pytest
import soundfile

from brainalign.datasets import read
from tests.datasets import replicas


@pytest.mark.skipif(not replicas.SIDECARS.exists(), reason="the dataset's own sidecars are not here")
def test_the_pages_code_runs(root, tmp_path, monkeypatch, capsys):
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8")
    folder = tmp_path / "data" / "ds004408"
    replicas.write_ds004408(folder)
    (folder / "stimuli").mkdir()
    soundfile.write(folder / "stimuli" / "audio01.wav", np.zeros(24000), 16000)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    # Sidecars and the dataset's description are whole; the recording is a replica, and so not what its hash says.
    assert len(names["plan"].kept) == 7
    assert capsys.readouterr().out.startswith(f"{len(names['plan'].missing)} ")
    assert names["recording"].channels[0] == "A1"


def test_every_reader_is_on_the_page(root):
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8")
    for function in read.READERS.values():
        called = [name for name in function.__code__.co_names if name.startswith("read_")]
        assert called, function
        assert all(name in page for name in called), called
