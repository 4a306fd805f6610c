"""A study trains any variant of sparse autoencoder by its name."""

from typing import get_args

import pytest

from brainalign.core.errors import ConfigProblem
from brainalign.pipeline.execute import execute
from brainalign.pipeline.schema import VariantName
from brainalign.pipeline.store import Store
from brainalign.sae.coder import SparseCoder
from brainalign.sae.variants.known import VARIANTS
from tests.study import worlds


def test_a_configuration_may_name_every_variant_of_one_layer():
    assert set(get_args(VariantName)) == set(VARIANTS) - {"crosscoder"}


def test_the_variant_and_its_options_reach_the_training(tmp_path):
    sae = worlds.tiny_values()["sae"] | {"variant": "gated", "options": {"sparsity": 0.02}, "n_steps": 20}
    study = worlds.tiny(tmp_path, sae=sae)
    store = Store(study.store_folder)
    execute(worlds.part_of(study.plan, ["coder"]), store, n_jobs=1)
    coder = SparseCoder.unpack(store.get(study.plan.key("coder")))
    assert coder.metadata["architecture"] == "gated"
    assert coder.metadata["training"]["options"] == {"sparsity": 0.02}


def test_a_variant_of_no_such_name_is_refused(tmp_path):
    with pytest.raises(ConfigProblem, match=r"sae[\s\S]*batchtopp[\s\S]*'batchtopk'"):
        worlds.tiny(tmp_path, sae=worlds.tiny_values()["sae"] | {"variant": "batchtopp"})
