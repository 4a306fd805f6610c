"""What must a joblib worker be told before it works for us?"""

from __future__ import annotations


def never_retire() -> None:
    """Keep loky from replacing this worker process for what it takes for a leak: memory-mapped arrays.

    It looks only where psutil happens to be installed, and a worker that retires just as the
    pool is closed waits for ever, and its parent with it. Without loky this does nothing.
    """
    from joblib.externals.loky import process_executor

    process_executor._USE_PSUTIL = False
