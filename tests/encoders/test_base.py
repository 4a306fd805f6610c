"""The one-call form: any source, one layer."""

import subprocess
import sys

import numpy as np
import pytest

from brainalign.core.errors import MissingFile
from brainalign.encoders.base import Encoder, encode


def test_encoder_folder_and_text_give_one_answer(encoder, untrained, sound):
    stimulus = sound(1)
    expected = encoder.encode(stimulus, [2])[2]
    for source in (encoder, untrained, str(untrained)):
        states = encode(stimulus, source, layer=2)
        np.testing.assert_array_equal(states.values, expected.values)
        assert states.axis == expected.axis


def test_a_loaded_encoder_keeps_the_protocol(encoder):
    assert isinstance(encoder, Encoder)


def test_a_missing_source_is_refused(sound):
    with pytest.raises(MissingFile, match="no encoder folder here"):
        encode(sound(1), "./nowhere", layer=1)


def test_the_protocol_costs_no_torch(root):
    """Whoever only names an encoder does not wait for torch."""
    code = "import sys, brainalign.encoders.base; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
