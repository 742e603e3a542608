"""Seeds: random numbers that leave the caller's generators where they were."""

import threading
from contextlib import contextmanager

import numpy as np
from sklearn.utils import check_random_state

#: The generators of torch and numpy belong to the process: one seeded block at a time.
_lock = threading.RLock()


def draw_seed(random_state):
    """Draw one integer seed from a scikit-learn ``random_state``.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        As everywhere in scikit-learn.

    Returns
    -------
    seed : int
    """
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@contextmanager
def torch_seed(seed, device="cpu"):
    """Run a block under a torch seed; the generators are restored after it.

    Parameters
    ----------
    seed : int
        The seed.
    device : str or torch.device, default="cpu"
        A CUDA device has a generator of its own, which is restored too.
    """
    import torch

    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with _lock, torch.random.fork_rng(devices=devices):
        # not `torch.manual_seed`, which seeds all CUDA devices, also those not restored
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def numpy_seed(seed):
    """Run a block under a seed of numpy's *global* generator, restored after it.

    For libraries that know no other generator, such as UltraNest.

    Parameters
    ----------
    seed : int
        The seed.
    """
    with _lock:
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
