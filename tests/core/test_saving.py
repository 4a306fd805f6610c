"""Every type of the core reaches the disk and comes back the same."""

import numpy as np
import pytest

from brainalign.core.artefact import Artefact, Packable, read_artefact, verify_artefact, write_artefact
from brainalign.core.errors import DamagedArtefact, UnknownName
from brainalign.core.hashing import canonical_json
from brainalign.core.saving import KINDS, load, save

EXAMPLES = {
    "stimulus": ["stimulus"],
    "trajectory": ["dense_trajectory", "sparse_trajectory", "empty_trajectory"],
    "recording": ["recording"],
    "design": ["design"],
    "encoding-result": ["encoding_result"],
    "joint-result": ["joint_result"],
    "null-test": ["null_test"],
}
ITEMS = [name for names in EXAMPLES.values() for name in names]


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in EXAMPLES.items() for name in names])
@pytest.mark.parametrize("mmap", [True, False])
def test_every_type_comes_back_the_same(request, tmp_path, kind, name, mmap):
    item = request.getfixturevalue(name)
    assert isinstance(item, Packable)
    back = load(save(item, tmp_path / "item"), mmap=mmap)
    assert type(back) is KINDS[kind] is type(item)
    one, other = item.pack(), back.pack()
    assert one.kind == other.kind == kind
    assert canonical_json(one.meta) == canonical_json(other.meta)
    assert one.arrays.keys() == other.arrays.keys()
    for part, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[part], strict=True)
        assert not other.arrays[part].flags.writeable


@pytest.mark.parametrize("name", ITEMS)
def test_saving_again_gives_the_same_bytes(request, tmp_path, name):
    save(request.getfixturevalue(name), tmp_path / "one")
    save(load(tmp_path / "one"), tmp_path / "two")
    assert verify_artefact(tmp_path / "one") == verify_artefact(tmp_path / "two")


def test_save_takes_and_gives_a_path(stimulus, tmp_path):
    assert save(stimulus, str(tmp_path / "s")) == tmp_path / "s"
    assert load(str(tmp_path / "s")).name == "story"


def test_an_unknown_kind_is_named(tmp_path):
    write_artefact(Artefact("trajectori"), tmp_path / "t")
    with pytest.raises(UnknownName, match="did you mean 'trajectory'"):
        load(tmp_path / "t")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_lacks_what_its_kind_needs_is_damaged(tmp_path, kind):
    write_artefact(Artefact(kind, {"name": "x"}), tmp_path / "t")
    with pytest.raises(DamagedArtefact, match=f"(?s)does not hold what makes it a {kind}.*delete the folder"):
        load(tmp_path / "t")


def test_meta_is_json_only(tmp_path, design):
    save(design, tmp_path / "d")
    assert read_artefact(tmp_path / "d").meta["bands"] == {"low": [0, 1], "high": [3]}
