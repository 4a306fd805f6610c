"""All layers from one pass: the bytes of each layer alone, and nothing encoded or trained twice."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import DamagedArtefact, NotFinite, ShapeMismatch, StoreProblem, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.sae.layers import train_layers
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.spool import JOURNAL, Encoded, SpoolPlan, layer_file, spool_frames
from brainalign.sae.spooled import Spool
from brainalign.sae.train import train_sae
from tests.sae.worlds import as_trajectory, planted

RECIPE = SaeTraining(k=4, expansion=2, n_steps=40, n_batch=128)


def sounds(*, layers=(3, 6), n=4, seed=0):
    """What an encoder gives of a few sounds: another world per layer, 48 and 20 wide."""
    rng = np.random.default_rng(seed)
    made = {layer: Provenance().then("encode", layer=layer) for layer in layers}
    for number in range(n):
        length = 400 + 37 * number
        found = {}
        for layer in layers:
            values = rng.standard_normal((length, 48 if layer == 3 else 20)) + layer
            found[layer] = replace(as_trajectory(values), provenance=made[layer])
        yield found


def frames(layer):
    return [sound[layer] for sound in sounds()]


def test_each_layer_is_trained_as_it_would_be_alone(tmp_path):
    coders = train_layers(sounds(), [3, 6], settings=RECIPE, seed=2, plan=SpoolPlan(tmp_path / "s"))
    assert list(coders) == [3, 6]
    for layer, coder in coders.items():
        alone = train_sae(frames(layer), RECIPE, seed=2)
        assert coder.content == alone.content
        assert coder.metadata == alone.metadata
        assert coder.metadata["source"] == {"name": "encode", "layer": layer}


@pytest.mark.slow
def test_processes_give_the_same_bytes(tmp_path):
    one = train_layers(sounds(), [3, 6], settings=RECIPE, seed=2, plan=SpoolPlan(tmp_path / "one"))
    seen = []
    two = train_layers(
        Spool(tmp_path / "one"),
        [3, 6],
        settings=replace(RECIPE, n_steps=41),
        seed=2,
        plan=SpoolPlan(tmp_path / "one"),
        n_jobs=2,
        progress=lambda *told: seen.append(told),
    )
    alone = {layer: train_sae(frames(layer), replace(RECIPE, n_steps=41), seed=2) for layer in (3, 6)}
    assert {layer: coder.content for layer, coder in two.items()} == {k: v.content for k, v in alone.items()}
    assert one[3].content != two[3].content
    assert seen == [(1, 2, "layer 3 trained"), (2, 2, "layer 6 trained")]


def test_half_precision_is_that_of_rounded_frames(tmp_path):
    """float16 on the disk is training on frames rounded to float16, and takes half the room."""
    for dtype in ("float16", "float32"):
        train_layers(sounds(), [3], settings=RECIPE, seed=2, plan=SpoolPlan(tmp_path / dtype, dtype=dtype))
    rounded = [replace(item, values=item.values.astype(np.float16)) for item in frames(3)]
    half = train_layers(Spool(tmp_path / "float16"), [3], settings=RECIPE, seed=2, plan=SpoolPlan(tmp_path / "x"))[3]
    assert half.content == train_sae(rounded, RECIPE, seed=2).content
    sizes = [layer_file(tmp_path / dtype, 3).stat().st_size for dtype in ("float16", "float32")]
    assert sizes[1] == 2 * sizes[0] == 4 * 48 * sum(item.axis.n for item in frames(3))
    assert Spool(tmp_path / "float16").trajectories(3)[0].values.dtype == np.float16


def test_a_pass_that_was_cut_off_goes_on_at_the_next_sound(tmp_path):
    plan, asked = SpoolPlan(tmp_path / "s"), []

    def source(start):
        asked.append(start)
        for number, sound in enumerate(sounds()):
            if number >= start:
                yield sound
            if start == 0 and number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spool_frames(source, [3, 6], plan=plan)
    # what a kill in the middle of a sound leaves behind
    with layer_file(plan.path, 3).open("ab") as stream:
        stream.write(b"\0" * 1000)
    with (plan.path / JOURNAL).open("a") as stream:
        stream.write('{"dataset": "", "hel')
    spool_frames(source, [3, 6], plan=plan)
    spool_frames(source, [3, 6], plan=plan)
    assert asked == [0, 2]
    spool = Spool(plan.path)
    spool.verify()
    whole = SpoolPlan(tmp_path / "whole")
    spool_frames(sounds(), [3, 6], plan=whole)
    for layer in (3, 6):
        assert layer_file(plan.path, layer).read_bytes() == layer_file(whole.path, layer).read_bytes()
    assert (plan.path / JOURNAL).read_text() == (whole.path / JOURNAL).read_text()


def test_an_iterable_is_moved_on_over_what_is_there(tmp_path):
    plan = SpoolPlan(tmp_path / "s", max_bytes=sum(4 * 48 * n for n in (400, 437)))
    with pytest.raises(StoreProblem, match="not enough room"):
        spool_frames(sounds(), [3], plan=plan)
    assert len((plan.path / JOURNAL).read_text().splitlines()) == 3
    spool_frames(sounds(), [3], plan=replace(plan, max_bytes=None))
    np.testing.assert_array_equal(
        np.concatenate([item.values for item in Spool(plan.path).trajectories(3)]),
        np.concatenate([item.values for item in frames(3)]),
    )


def test_finished_layers_are_not_trained_again(tmp_path):
    plan, told = SpoolPlan(tmp_path / "s"), []
    first = train_layers(sounds(), [3, 6], settings=RECIPE, seed=2, plan=plan)
    again = train_layers(iter(()), [3, 6], settings=RECIPE, seed=2, plan=plan, progress=lambda *note: told.append(note))
    assert [coder.content for coder in first.values()] == [coder.content for coder in again.values()]
    assert not told
    other = train_layers(iter(()), [3, 6], settings=RECIPE, seed=3, plan=plan, progress=lambda *n: told.append(n))
    assert other[3].content != first[3].content
    assert told[-1][:2] == (80, 80)
    assert told[-1][2].startswith("layer 6: loss ")


def test_masked_frames_are_never_seen(tmp_path):
    """Silence is left out, sounds are held out, and neighbours across a gap are none."""
    rng, given = np.random.default_rng(0), []
    for number, sound in enumerate(sounds(layers=(3,))):
        keep = np.repeat(rng.random(sound[3].axis.n // 10 + 1) < 0.7, 10)[: sound[3].axis.n]
        values = np.where(keep[:, None], sound[3].values, 1e4)
        given.append(Encoded({3: as_trajectory(values)}, keep, held_out=number == 3))
    plan = SpoolPlan(tmp_path / "s")
    coder = train_layers(given, [3], settings=RECIPE, seed=0, plan=plan)[3]
    spool = Spool(plan.path)
    training, unseen = spool.trajectories(3), spool.trajectories(3, held_out=True)
    assert sum(item.axis.n for item in training) == sum(int(s.keep.sum()) for s in given[:3])
    assert sum(item.axis.n for item in unseen) == int(given[3].keep.sum())
    assert spool.n_frames == sum(int(s.keep.sum()) for s in given)
    for item in (*training, *unseen):
        assert np.abs(item.values).max() < 100
    # every frame keeps its own time
    first = training[0]
    start = int(np.flatnonzero(given[0].keep)[0])
    assert first.axis.t0 == given[0].frames[3].axis.time(start)
    # calibrated on the frames that were held out
    assert measure_sae(coder, unseen).l0 == pytest.approx(4, rel=1e-3)


def test_datasets_are_weighted(tmp_path):
    worlds = [Encoded({3: as_trajectory(sound[3].values)}, dataset="ab"[i % 2]) for i, sound in enumerate(sounds())]
    plan = SpoolPlan(tmp_path / "s")
    coder = train_layers(worlds, [3], settings=RECIPE, seed=0, plan=plan, weights={"b": 4})[3]
    a, b = (sum(w.frames[3].axis.n for w in worlds[i::2]) for i in (0, 1))
    assert coder.metadata["mixture"]["shares"]["b"] == pytest.approx(4 * b / (a + 4 * b))


def test_room_is_checked_before_anything_is_written(tmp_path):
    plan = SpoolPlan(tmp_path / "s", max_bytes=10**6, n_frames=10**6)
    with pytest.raises(StoreProblem, match=r"0\.192 GB to come, 0\.001 GB left") as told:
        spool_frames(sounds(), [3], plan=plan)
    assert "float16" in told.value.fix
    assert layer_file(plan.path, 3).stat().st_size == 0
    with pytest.raises(StoreProblem, match="not enough room"):
        spool_frames(sounds(), [3], plan=SpoolPlan(tmp_path / "t", n_frames=10**13))


def test_refuses_what_does_not_fit(tmp_path):
    def spool(given, layers=(3,), **options):
        spool_frames(given, layers, plan=SpoolPlan(tmp_path / str(len(list(tmp_path.iterdir()))), **options))

    with pytest.raises(ValueProblem, match=r"no \[9\] among \[3, 6\]"):
        spool(sounds(), (3, 9))
    with pytest.raises(ValueProblem, match="no sounds to spool"):
        spool([])
    with pytest.raises(ShapeMismatch, match="the same layers"):
        spool([{3: as_trajectory(np.ones((5, 2)))}, {3: as_trajectory(np.ones((5, 3)))}])
    with pytest.raises(ShapeMismatch, match="share one clock"):
        spool([{3: as_trajectory(np.ones((5, 2))), 6: as_trajectory(np.ones((6, 2)))}], (3, 6))
    with pytest.raises(ShapeMismatch, match="one truth value per frame"):
        spool([Encoded({3: as_trajectory(np.ones((5, 2)))}, np.ones(4, dtype=bool))])
    with pytest.raises(NotFinite, match="layer 3 as float16"):
        spool([{3: as_trajectory(np.full((5, 2), 1e5))}], dtype="float16")
    with pytest.raises(NotFinite, match="layer 3"):
        spool([{3: as_trajectory(np.full((5, 2), np.nan))}])
    with pytest.raises(ValueProblem, match="float32 or float16"):
        SpoolPlan(tmp_path, dtype="bfloat16")
    with pytest.raises(DamagedArtefact, match="no finished spool"):
        Spool(tmp_path / "nothing")


def test_another_spool_and_damage_are_refused(tmp_path):
    plan = SpoolPlan(tmp_path / "s")
    spool_frames(sounds(), [3], plan=plan)
    with pytest.raises(ValueProblem, match="another spool"):
        spool_frames(sounds(), [3, 6], plan=plan)
    with pytest.raises(ValueProblem, match=r"layer 6, it has \[3\]"):
        Spool(plan.path).trajectories(6)
    data = bytearray(layer_file(plan.path, 3).read_bytes())
    data[-150_000] ^= 1
    layer_file(plan.path, 3).write_bytes(data)
    with pytest.raises(DamagedArtefact, match="sound 2"):
        Spool(plan.path).verify()
    layer_file(plan.path, 3).write_bytes(data[:-4])
    with pytest.raises(DamagedArtefact, match="another length"):
        Spool(plan.path).trajectories(3)
    (plan.path / JOURNAL).write_text("{}}\n")
    with pytest.raises(DamagedArtefact, match="journal is damaged"):
        Spool(plan.path)


def test_the_journal_is_json_lines(tmp_path):
    plan = SpoolPlan(tmp_path / "s")
    spool_frames([{1: planted(0, n_frames=400).trajectories[0]}], [1], plan=plan)
    header, sound, end = map(json.loads, (plan.path / JOURNAL).read_text().splitlines())
    assert header == {"format": "brainalign-spool/1", "dtype": "float32", "layers": [1]}
    assert sound["stretches"] == [[0, 100, {"rate": "50", "n": 100, "t0": "1/80"}]]
    assert end == {"end": 1}
