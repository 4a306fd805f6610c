"""What do other libraries learn from the same frames? Run by their own Python: ``PYTHON _recovery_peers.py JOB.json``.

Nothing of ours is imported here. Each function trains one library's BatchTopK on the frames of the job by its own
training loop and gives its inference form: arrays, a threshold, and what it makes of some frames by its own code.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def main() -> None:
    """Do the job for each of its seeds, and write the arrays and a line of JSON."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    frames = np.load(job["frames"])
    for seed, out in zip(job["seeds"], job["out"], strict=True):
        torch.manual_seed(seed)
        start = time.process_time()
        arrays = PEERS[job["library"]](frames, {**job, "seed": seed})
        np.savez(out, **arrays, seconds=np.array(time.process_time() - start))
    print(json.dumps({"version": importlib.metadata.version(DISTRIBUTIONS[job["library"]])}))


def batches(frames: np.ndarray, job: dict[str, Any]) -> Iterator[torch.Tensor]:
    """Yield batches without end, each epoch a new permutation of all frames."""
    rng, n = np.random.default_rng(job["seed"]), job["n_batch"]
    while True:
        order = rng.permutation(len(frames))
        for start in range(0, len(order) - n + 1, n):
            yield torch.from_numpy(frames[order[start : start + n]])


def dictionary_learning(frames: np.ndarray, job: dict[str, Any]) -> Arrays:
    """Train with its BatchTopKTrainer or TopKTrainer."""
    if "nnsight" not in sys.modules and importlib.util.find_spec("nnsight") is None:
        # its buffers of language models' activations need it, its trainers do not
        sys.modules["nnsight"] = types.ModuleType("nnsight")
        sys.modules["nnsight"].LanguageModel = object
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    n_steps, given = job["n_steps"], job["schedule"]
    if given:
        schedule = {"lr": given["learning_rate"], "warmup_steps": given["warm_up"], "decay_start": given["decay_from"]}
        # at its default of 1000 steps the threshold of a short run would be set by few batches or none
        schedule["threshold_start_step"] = n_steps // 4
    else:
        first = min(1000, n_steps // 2)
        schedule = {"warmup_steps": first, "threshold_start_step": first}
    seed, width = job["seed"], frames.shape[1]
    made = {"batchtopk": BatchTopKTrainer, "topk": TopKTrainer}[job["architecture"]]
    trainer = made(n_steps, width, job["d_sae"], job["k"], 0, "", seed=seed, device="cpu", **schedule)
    stream = batches(frames, job)
    for step in range(n_steps):
        trainer.update(step, next(stream))
    coder = trainer.ae
    with torch.no_grad():
        check = coder(torch.from_numpy(frames[: job["n_check"]]))
    return {
        "W_enc": coder.encoder.weight.detach().numpy().T,
        "b_enc": coder.encoder.bias.detach().numpy(),
        "W_dec": coder.decoder.weight.detach().numpy().T,
        "b_dec": coder.b_dec.detach().numpy(),
        "threshold": np.full(job["d_sae"], float(coder.threshold)),
        "check": check.numpy(),
    }


def saelens(frames: np.ndarray, job: dict[str, Any]) -> Arrays:
    """Train with its SAETrainer, and save and load the inference form as it does."""
    from sae_lens import SAE
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    given, n_steps = job["schedule"], job["n_steps"]
    start = {"decoder_init_norm": 1.0} if job["our_start"] else {}
    if job["architecture"] == "topk":
        coder = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=frames.shape[1], d_sae=job["d_sae"], k=job["k"], **start))
    else:
        named = {"d_in": frames.shape[1], "d_sae": job["d_sae"], "k": float(job["k"]), **start}
        coder = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**named))
    if job["our_start"]:
        coder.b_dec.data = torch.from_numpy(frames.mean(axis=0))
    rate = 3e-4
    schedule: dict[str, Any] = {}
    if given:
        rate = given["learning_rate"]
        schedule = {"lr_warm_up_steps": given["warm_up"], "lr_decay_steps": n_steps - given["decay_from"]}
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=n_steps * job["n_batch"],
            train_batch_size_samples=job["n_batch"],
            lr=rate,
            lr_end=rate / 10,
            dead_feature_window=n_steps // 10 if job["our_start"] else 1000,
            logger=LoggingConfig(log_to_wandb=False),
            **schedule,
        ),
        coder,
        batches(frames, job),
    )
    trained = trainer.fit()
    with tempfile.TemporaryDirectory() as folder:
        trained.save_inference_model(folder)
        final = SAE.load_from_disk(folder)
    with torch.no_grad():
        check = final(torch.from_numpy(frames[: job["n_check"]]))
    parts = {name: getattr(final, name).detach().numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if job["architecture"] == "batchtopk":
        return {**parts, "threshold": final.threshold.detach().numpy(), "check": check.numpy()}
    # its largest are those of activation times decoder norm
    norms = np.linalg.norm(parts["W_dec"], axis=1) if final.cfg.rescale_acts_by_decoder_norm else np.ones(job["d_sae"])
    at_unit = {
        "W_enc": parts["W_enc"] * norms,
        "b_enc": parts["b_enc"] * norms,
        "W_dec": parts["W_dec"] / norms[:, None],
    }
    return {**parts, **at_unit, "threshold": 0 * norms, "check": check.numpy()}


PEERS: dict[str, Callable[[np.ndarray, dict[str, Any]], Arrays]] = {
    "SAELens": saelens,
    "dictionary_learning": dictionary_learning,
}
DISTRIBUTIONS = {"SAELens": "sae-lens", "dictionary_learning": "dictionary-learning"}

if __name__ == "__main__":
    main()
