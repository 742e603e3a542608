"""The folder of a run, which belongs to one problem."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np


def claim(folder, data, forward, prior, settings):
    """Keep a run from being continued with another problem or other settings.

    Parameters
    ----------
    folder : path-like
        Where the run is, or will be.
    data : Observations
        The lines, their errors, limits and bands.
    forward : ForwardModel or None
        The forward model; None for one that is too dear to be looked at.
    prior : ParameterSpace
        The prior.
    settings : dict
        Of the likelihood and the sampler, as JSON can hold them.

    Raises
    ------
    ValueError
        If the folder holds a run of another problem.
    """
    probe = prior.sample_latin_hypercube(16, random_state=0)
    problem = hashlib.sha256()
    for array in (*vars(data).values(), probe):
        array = np.ascontiguousarray(array, dtype=float)
        problem.update(repr(array.shape).encode())
        problem.update(array.tobytes())
    settings = {"problem": problem.hexdigest(), **settings}
    # a fixed look at the forward model, in place of its code; compared to the
    # precision that survives another number of threads
    predictions = [] if forward is None else forward(probe, data.X).tolist()
    path = Path(folder) / "skastro.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(settings | {"predictions": predictions})
        # in one move: processes under MPI all write the same
        partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    before = found.pop("predictions", None)
    if found != settings or not np.allclose(
        before, predictions, rtol=1e-4, equal_nan=True
    ):
        raise ValueError(
            f"`log_dir` {str(folder)!r} holds a run of another problem (other data,"
            " errors, limits, bands, prior or forward model) or with other settings of"
            " the sampler; name another folder."
        )
