"""Calls of a dear forward model: each made once, counted, and kept."""

import os
import time
import warnings
from pathlib import Path

import numpy as np

from ..emulation import SimulationGrid, SimulationWarning, run_simulations
from ._forward_model import Predictions

#: Seconds that a task should take: little is lost in a kill, and quick models that take
#: blocks get blocks.
_TASK_SECONDS = 0.25
#: Rows a task, at most.
_MAX_ROWS = 500


class _Simulator:
    """The forward model as `run_simulations` takes it.

    A row holds the predicted lines, the model's own errors of them if it states any,
    and the seconds that a model of the block took.
    """

    def __init__(self, forward, X, with_std):
        self.forward, self.X, self.with_std = forward, X, with_std

    def __call__(self, theta):
        """Predict a block."""
        start = time.perf_counter()
        mean, std, _ = self.forward.predict(theta, self.X, self.with_std)
        seconds = (time.perf_counter() - start) / len(theta)
        columns = [mean] if std is None else [mean, std]
        return np.hstack([*columns, np.full((len(theta), 1), seconds)])


class Calls:
    """All calls of a forward model, in the order they were made.

    Parameters
    ----------
    forward : ForwardModel
        The forward model.
    X : ndarray of shape (n_lines, n_features)
        The lines.
    with_std : bool
        Whether the model states its own error.
    n_jobs : int or None
        Processes, through joblib.
    folder : path-like or None
        Where finished calls are kept, and found again.
    step : callable
        Counts a call as done.
    """

    def __init__(self, forward, X, with_std, n_jobs=None, folder=None, step=None):
        self._forward, self._X = forward, X
        self._simulator = _Simulator(forward, X, with_std)
        self._n_jobs, self._step = n_jobs, step
        self._folder = None if folder is None else Path(folder)
        if folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._grids, self._n_made = [], 0

    def __len__(self):
        return sum(len(grid.parameters) for grid in self._grids)

    @property
    def begun(self):
        """How many calls a run that was killed had given the next `make`, or None."""
        path = self._path("design", "npy")
        return len(np.load(path)) if path is not None and path.exists() else None

    def make(self, theta):
        """Call the model.

        Parameters
        ----------
        theta : ndarray of shape (n_calls, n_parameters)
            Parameters. Where a run that was killed had begun with them, those on file
            are taken, which rounding may have made others.
        """
        path = self._path("design", "npy")
        if path is not None:
            theta = _design_on_file(path, theta)
        # one first, to see what a call takes
        parts = [theta] if self._grids else [theta[:1], theta[1:]]
        for i, part in enumerate(part for part in parts if len(part)):
            with warnings.catch_warnings():
                # told at the end, of all calls
                warnings.simplefilter("ignore", SimulationWarning)
                grid = run_simulations(
                    self._simulator,
                    part,
                    vectorized=True,
                    batch_size=self._batch_size(),
                    checkpoint=self._path("calls", f"{i}.jsonl"),
                    n_jobs=self._n_jobs,
                )
            self._grids.append(grid)
            if self._step is not None:
                for _ in part:
                    self._step()
        self._n_made += 1

    def _path(self, what, ending):
        """Return a file of the next `make`, or None without a folder."""
        if self._folder is None:
            return None
        return self._folder / f"{what}-{self._n_made:04d}.{ending}"

    def _batch_size(self):
        """Return how many calls are a task."""
        seconds = [g.outputs[:, -1] for g in self._grids if g.outputs.shape[1]]
        seconds = np.concatenate(seconds) if seconds else np.empty(0)
        seconds = seconds[np.isfinite(seconds)]
        if not len(seconds):
            return 1
        return int(np.clip(_TASK_SECONDS / max(seconds.mean(), 1e-9), 1, _MAX_ROWS))

    @property
    def first_failure(self):
        """The first `SimulationFailure`, or None."""
        return next((f for grid in self._grids for f in grid.failures), None)

    def predictions(self, first=0):
        """Return what the calls from one on predicted, and NaN of those that failed.

        Parameters
        ----------
        first : int, default=0
            The call from which on.

        Returns
        -------
        predictions : Predictions
        """
        grid = self.grid()
        theta, outputs = grid.parameters[first:], self._outputs()[first:]
        n_lines = len(self._X)
        mean = outputs[:, :n_lines]
        std = outputs[:, n_lines:-1] if self._simulator.with_std else None
        return Predictions(mean, std, self._forward.outside(theta, mean))

    def _outputs(self):
        """Return the outputs of all calls, with NaN where they failed."""
        n_columns = len(self._X) * (1 + self._simulator.with_std) + 1
        return np.concatenate(
            [
                # where all of a design failed, nobody told how many there are
                g.outputs
                if g.outputs.shape[1] == n_columns
                else np.full((len(g.parameters), n_columns), np.nan)
                for g in self._grids
            ]
        )

    def grid(self):
        """Return all calls.

        Returns
        -------
        grid : SimulationGrid
            Of the parameters and the predicted lines.
        """
        failures, before = [], 0
        for grid in self._grids:
            failures += [
                type(f)(f.index + before, f.parameters, f.error, f.traceback)
                for f in grid.failures
            ]
            before += len(grid.parameters)
        parameters = np.concatenate([grid.parameters for grid in self._grids])
        return SimulationGrid(parameters, self._outputs()[:, : len(self._X)], failures)


def _design_on_file(path, theta):
    """Write a design, or return that which a run had begun with."""
    if not path.exists():
        partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
        np.save(partial, theta)
        partial.replace(path)
        return theta
    found = np.load(path)
    # another number of threads adds in another order; more is another proposal, whose
    # density is not that of these draws
    if found.shape != theta.shape or not np.allclose(found, theta, rtol=1e-3):
        raise ValueError(
            f"`log_dir` holds the calls of another run: those of {str(path)!r} are not"
            " where this run would place them. Continue it with the same versions and"
            " number of threads, and an equal `surrogate` and `random_state`, or name"
            " another folder."
        )
    return found
