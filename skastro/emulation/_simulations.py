"""Grids of simulations: parallel, resumable, and with failures on record."""

import hashlib
import json
import logging
import traceback
from collections import Counter
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ..utils.warn import warn

logger = logging.getLogger("skastro")

_FORMAT = "skastro simulations 1"


class SimulationWarning(UserWarning):
    """Some simulations of a grid failed."""


class SimulationError(RuntimeError):
    """A simulation failed, and failures were asked to be fatal."""


@dataclass(frozen=True)
class SimulationFailure:
    """One failed simulation.

    Attributes
    ----------
    index : int
        Row of the design.
    parameters : ndarray of shape (n_parameters,)
        That row.
    error : str
        Type and message of the exception.
    traceback : str
        Where it was raised.
    """

    index: int
    parameters: np.ndarray
    error: str
    traceback: str = field(repr=False)


@dataclass(frozen=True)
class SimulationGrid:
    """The outcome of :func:`run_simulations`.

    Attributes
    ----------
    parameters : ndarray of shape (n_simulations, n_parameters)
        The design.
    outputs : ndarray of shape (n_simulations, n_outputs)
        What the simulator returned; NaN in the rows that failed.
    failures : list of SimulationFailure
        What went wrong, by row.
    """

    parameters: np.ndarray
    outputs: np.ndarray
    failures: list

    @property
    def succeeded(self):
        """Mask of the simulations that did not fail."""
        mask = np.ones(len(self.parameters), dtype=bool)
        mask[[failure.index for failure in self.failures]] = False
        return mask

    def training_data(self):
        """Return parameters and outputs of the simulations that succeeded.

        Returns
        -------
        X : ndarray of shape (n_succeeded, n_parameters)
        y : ndarray of shape (n_succeeded, n_outputs)
        """
        return self.parameters[self.succeeded], self.outputs[self.succeeded]


def _failure(row, parameters, error, trace=""):
    """Return the record of a failed simulation."""
    return {
        "row": row,
        "error": error,
        "parameters": parameters.tolist(),
        "traceback": trace,
    }


def _simulate(simulator, parameters, rows, vectorized):
    """Run the simulator on some rows; return one record a row."""
    if vectorized and len(rows) > 1:
        try:
            outputs = np.asarray(simulator(parameters), dtype=float)
            if outputs.ndim == 1:
                outputs = outputs[:, None]
            if outputs.ndim != 2 or len(outputs) != len(rows):
                raise ValueError(f"outputs of shape {outputs.shape}")
            return [
                {"row": int(row), "output": output.tolist()}
                for row, output in zip(rows, outputs, strict=True)
            ]
        except (Exception, SystemExit):
            # find the rows that are to blame, and keep the rest
            logger.info("a block of %d simulations failed; one by one", len(rows))
    records = []
    for row, theta in zip(rows.tolist(), parameters, strict=True):
        try:
            if vectorized:
                output = np.asarray(simulator(theta[None]), dtype=float)
                if output.ndim == 0 or len(output) != 1:
                    raise ValueError(
                        "the simulator returned an array of shape"
                        f" {output.shape} for 1 row"
                    )
                output = output[0]
            else:
                output = simulator(theta)
            if output is None:
                raise TypeError("the simulator returned None")
            output = np.atleast_1d(np.asarray(output, dtype=float))
            if output.ndim != 1:
                raise ValueError(
                    f"the simulator returned an array of shape {output.shape} where"
                    " (n_outputs,) was expected"
                )
            records.append({"row": row, "output": output.tolist()})
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}"
            records.append(_failure(row, theta, text, traceback.format_exc()))
    return records


def _run_batches(simulator, design, batches, vectorized, n_jobs):
    """Yield the records of each batch as it comes, whatever happens to the workers.

    A simulation that kills its process (a segmentation fault, no memory left) takes
    the pool of processes with it. What was then under way is run again, row by row,
    each alone; a row that kills its process again is a failure, and the rest goes on.
    """
    waiting = list(batches)[::-1]
    while waiting:
        under_way = {}

        def tasks(under_way=under_way):
            while waiting:
                rows = waiting.pop()
                under_way[int(rows[0])] = rows
                yield delayed(_simulate)(simulator, design[rows], rows, vectorized)

        try:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
            for records in parallel(tasks()):
                under_way.pop(min(record["row"] for record in records))
                yield records
        except BrokenExecutor:
            for row in np.concatenate(list(under_way.values())):
                task = delayed(_simulate)(
                    simulator, design[[row]], np.array([row]), vectorized
                )
                try:
                    yield Parallel(n_jobs=2)([task])[0]
                except BrokenExecutor:
                    error = "BrokenExecutor: the simulation killed its process"
                    yield [_failure(int(row), design[row], error)]


class _Checkpoint:
    """A file of JSON lines: a header, then one line a finished simulation.

    A line is written whole and flushed; a last line cut short by a kill is dropped
    when the file is read, and that simulation runs again.
    """

    def __init__(self, path, design):
        self.path = Path(path)
        digest = hashlib.sha256(np.ascontiguousarray(design).tobytes()).hexdigest()
        self.header = {
            "format": _FORMAT,
            "n_simulations": len(design),
            "n_parameters": design.shape[1],
            "design_sha256": digest,
        }

    def read(self):
        """Return the finished records, and cut off what is not whole."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.decode().splitlines()
        try:
            header = json.loads(lines[0]) if lines else {}
        except ValueError:
            header = {}
        if not isinstance(header, dict) or header.get("format") != _FORMAT:
            raise ValueError(
                f"`checkpoint` {str(self.path)!r} was not written by run_simulations;"
                " name another file."
            )
        if header != self.header:
            raise ValueError(
                f"`checkpoint` {str(self.path)!r} belongs to another design"
                f" ({header['n_simulations']} simulations of"
                f" {header['n_parameters']} parameters) than the one given"
                f" ({self.header['n_simulations']} of {self.header['n_parameters']});"
                " name another file, or pass the design it was begun with."
            )
        records = []
        for number, line in enumerate(lines[1:], start=2):
            try:
                records.append(json.loads(line))
            except ValueError:
                raise ValueError(
                    f"`checkpoint` {str(self.path)!r} is damaged in line {number};"
                    " delete that line to run its simulation again."
                ) from None
        if len(whole) < len(content):
            logger.info("%s: dropped a line that was cut short", self.path)
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        return records

    def append(self, records, file):
        """Write finished records."""
        file.write("".join(json.dumps(record) + "\n" for record in records))
        file.flush()

    def open(self):
        """Open for appending, with a header if the file is new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a", encoding="utf-8")
        if file.tell() == 0:
            self.append([self.header], file)
        return file


def run_simulations(
    simulator,
    design,
    *,
    n_outputs=None,
    vectorized=False,
    batch_size=None,
    checkpoint=None,
    retry_failed=False,
    on_error="record",
    n_jobs=None,
    verbose=0,
):
    """Run a simulator over a design: in parallel, resumable, losing nothing.

    Parameters
    ----------
    simulator : callable
        Takes one row of the design, of shape (n_parameters,), and returns a number or
        an array of shape (n_outputs,). With ``vectorized=True`` it takes a block of
        rows, of shape (n_rows, n_parameters), and returns (n_rows, n_outputs).
    design : array-like of shape (n_simulations, n_parameters)
        Parameters of each simulation, as :meth:`ParameterSpace.sample_latin_hypercube
        <skastro.parameter_space.ParameterSpace.sample_latin_hypercube>` draws them.
    n_outputs : int, default=None
        Length of an output. By default the most common one; simulations that return
        another are failures.
    vectorized : bool, default=False
        Whether the simulator takes blocks. When a block fails, its rows are run one
        by one, so that only the guilty are recorded as failed.
    batch_size : int, default=None
        Rows a task: what is written to the checkpoint at once, and the block of a
        vectorised simulator. By default 1, or 500 if vectorised.
    checkpoint : path-like, default=None
        File to which finished simulations are appended as they come. If it exists,
        what it holds is not run again: call the same line after a kill to resume. It
        knows its design, but not its simulator: a new simulator wants a new file.
    retry_failed : bool, default=False
        Whether to run again what the checkpoint records as failed.
    on_error : {"record", "raise"}, default="record"
        Whether a failing simulation is recorded, with a warning at the end, or stops
        the run.
    n_jobs : int, default=None
        Processes, through joblib: None is 1 unless in a ``parallel_config`` context,
        which may also name Dask or Ray; -1 is all cores.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    grid : SimulationGrid
        Parameters, outputs, and the failures with their exceptions.

    Raises
    ------
    ValueError
        If the design is not a finite 2-D array, or the checkpoint belongs to another
        design.
    SimulationError
        If a simulation fails and ``on_error="raise"``; what was finished before is in
        the checkpoint.

    Warns
    -----
    SimulationWarning
        If simulations failed.

    Examples
    --------
    >>> from skastro.emulation import run_simulations
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> space = ParameterSpace({"a": Uniform(0, 1), "b": Uniform(0, 1)})
    >>> design = space.sample_latin_hypercube(100, random_state=0)
    >>> grid = run_simulations(lambda theta: [theta.sum(), theta.prod()], design)
    >>> grid.outputs.shape, len(grid.failures)
    ((100, 2), 0)
    """
    design = np.asarray(design, dtype=float)
    if design.ndim != 2 or not np.isfinite(design).all():
        raise ValueError(
            "`design` must be a finite array of shape (n_simulations, n_parameters),"
            f" got shape {design.shape}."
        )
    if not callable(simulator):
        raise TypeError(f"`simulator` must be callable, got {simulator!r}.")
    if on_error not in ("record", "raise"):
        raise ValueError(f"`on_error` must be 'record' or 'raise', got {on_error!r}.")
    if batch_size is None:
        batch_size = 500 if vectorized else 1
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")

    records, file, store = {}, None, None
    if checkpoint is not None:
        store = _Checkpoint(checkpoint, design)
        for record in store.read():
            records[record["row"]] = record
        if retry_failed:
            records = {r: rec for r, rec in records.items() if "output" in rec}
        elif on_error == "raise":
            _raise_first(records.values())
        file = store.open()
    todo = np.array([r for r in range(len(design)) if r not in records], dtype=int)
    batches = [todo[i : i + batch_size] for i in range(0, len(todo), batch_size)]

    from tqdm.auto import tqdm

    bar = tqdm(
        total=len(design),
        initial=len(records),
        desc="simulations",
        unit="model",
        disable=not verbose,
    )
    try:
        for batch in _run_batches(simulator, design, batches, vectorized, n_jobs):
            records.update({record["row"]: record for record in batch})
            if store is not None:
                store.append(batch, file)
            bar.update(len(batch))
            if on_error == "raise":
                _raise_first(batch)
    finally:
        bar.close()
        if file is not None:
            file.close()
    _check_lengths(records, design, n_outputs)
    if on_error == "raise":
        _raise_first(records.values())
    return _collect(design, records)


def _raise_first(records):
    """Raise if a simulation failed."""
    for record in records:
        if "error" in record:
            raise SimulationError(
                f"Simulation {record['row']} with parameters {record['parameters']}"
                f" failed: {record['error']}\n{record['traceback']}"
            )


def _check_lengths(records, design, n_outputs):
    """Turn outputs of another length than all the others into failures."""
    lengths = Counter(len(r["output"]) for r in records.values() if "output" in r)
    if not lengths:
        return
    if n_outputs is None:
        n_outputs = lengths.most_common(1)[0][0]
    for row, record in records.items():
        length = len(record.get("output", ()))
        if "output" in record and length != n_outputs:
            records[row] = _failure(
                row,
                design[row],
                f"ValueError: the simulator returned an array of shape ({length},)"
                f" where ({n_outputs},) was expected",
            )


def _collect(design, records):
    """Return the grid, and warn of failures."""
    done = {row: rec["output"] for row, rec in records.items() if "output" in rec}
    n_outputs = len(next(iter(done.values()))) if done else 0
    outputs = np.full((len(design), n_outputs), np.nan)
    outputs[list(done)] = list(done.values()) if done else outputs[[]]
    failures = [
        SimulationFailure(row, design[row], record["error"], record["traceback"])
        for row, record in sorted(records.items())
        if "error" in record
    ]
    if failures:
        warn(
            f"{len(failures)} of {len(design)} simulations failed; the first, row"
            f" {failures[0].index}: {failures[0].error}. `failures` lists them.",
            SimulationWarning,
        )
    return SimulationGrid(design, outputs, failures)
