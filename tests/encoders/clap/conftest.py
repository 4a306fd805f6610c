"""A small CLAP audio tower for the tests beside: its folder, the encoder, and transformers' own model."""

import pytest
import transformers

from brainalign.encoders.hugging import load_encoder
from tests.encoders.tower import write_tower


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clap")
    write_tower(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(folder)


@pytest.fixture(scope="module")
def tower(folder):
    """Transformers' own model of the same weights."""
    return transformers.ClapAudioModel.from_pretrained(folder).eval()
