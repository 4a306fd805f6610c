"""Identity is content."""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.core.hashing import array_digest, canonical_json, digest, file_digest, plain


@dataclass(frozen=True)
class _Slice:
    rate: Fraction
    names: tuple[str, ...]


def test_values_become_plain_json():
    value = {
        1: Fraction(1, 3),
        "slice": _Slice(Fraction(50), ("a", "b")),
        "array": np.array([[1, 2], [3, 4]], dtype=np.int8),
        "number": np.float64(0.1),
        "none": None,
        "yes": True,
        "file": Path("folder") / "file",
    }
    assert plain(value) == {
        "1": "1/3",
        "slice": {"rate": "50/1", "names": ["a", "b"]},
        "array": [[1, 2], [3, 4]],
        "number": 0.1,
        "none": None,
        "yes": True,
        "file": "folder/file",
    }


def test_one_text_stands_for_a_value_whatever_the_order_of_its_keys():
    one, other = {"b": 1, "a": {"y": 2, "x": 3}}, OrderedDict(a=OrderedDict(x=3, y=2), b=1)
    assert canonical_json(one) == canonical_json(other) == '{"a":{"x":3,"y":2},"b":1}'
    assert digest(one) == hashlib.sha256(b'{"a":{"x":3,"y":2},"b":1}').hexdigest()


def test_names_beyond_ascii_have_one_spelling_even_where_they_are_no_text():
    assert canonical_json({"ü": "\udc80"}) == '{"\\u00fc":"\\udc80"}'
    assert json.loads(canonical_json("ü")) == "ü"
    assert len(digest("\udc80")) == 64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), {"a": PurePosixPath}])
def test_what_has_no_place_in_json_is_refused(value):
    with pytest.raises(ValueProblem, match="no place in canonical JSON"):
        canonical_json(value)


def test_keys_that_would_fall_together_are_refused():
    with pytest.raises(ValueProblem, match="two keys have one name"):
        plain({1: "a", "1": "b"})


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i8", "?", "<c16", "<f2", "<U3", "<M8[s]"])
def test_an_arrays_digest_knows_dtype_shape_and_bytes_but_not_layout(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    same = np.asfortranarray(array)
    assert array_digest(array) == array_digest(same) == array_digest(array.copy())
    assert array_digest(array) != array_digest(array.reshape(3, 2))
    other = array.copy()
    other[0, 0] = array[1, 2]
    assert array_digest(array) != array_digest(other)


def test_dtypes_of_equal_values_differ():
    assert array_digest(np.zeros(3, "<f4")) != array_digest(np.zeros(3, "<i4"))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_arrays_without_an_axis_or_a_value_have_a_digest(shape):
    assert len(array_digest(np.zeros(shape))) == 64


def test_a_files_digest_is_sha256_also_beyond_one_piece(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
