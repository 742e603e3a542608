"""Tables of a forward model with separable parameters, as fine as they must be."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

from ._amplitude import Amplitude
from ._table_integrals import NO_SOLUTION
from ._table_likelihood import Tables

#: Nodes to begin with, of a shared and of a separable parameter.
_SHARED_NODES, _OWN_NODES = 9, 17
#: Models that a table is computed from at most, entries of one that is read at most.
_MOST_MODELS, _MOST_ENTRIES = 2**20, 2**26
#: Cells that each axis is tried in, and the share of them that must be right.
_N_TRIED, _QUANTILE = 256, 0.98
#: Into how many parts a cell may be cut.
_PARTS = (1, 2, 3, 4, 6, 8)
_CHUNK = 4096
#: What levelling leaves of the greatest error of a chord.
_LEVEL = 2 / 3


@dataclass(frozen=True)
class TableSet:
    """Tables, and how they were made.

    Parameters
    ----------
    tables : Tables
        For the lines in ``order``.
    order : ndarray of int of shape (n_lines,)
        Positions of the tables' lines among the rows of X.
    unit : ndarray of shape (n_lines,)
        What the tables' lines are in, in that order.
    columns : list of int
        The separable parameter of each group, as a column of the prior; -1 for none.
    amplitude : Amplitude or None
        Of the scales.
    error : float
        Error of the tables, relative to line plus faintest error, that 98 % of places
        are below.
    n_models : int
        Models they were computed from.
    unsolved : bool
        Whether the model had no solution in places.
    """

    tables: Tables
    order: np.ndarray
    unit: np.ndarray
    columns: list
    amplitude: Amplitude | None
    error: float
    n_models: int
    unsolved: bool


class _Grid:
    """Lines on a grid of quantiles, computed where they were not before."""

    def __init__(self, outputs, lengths):
        self.outputs = outputs
        self.axes = [np.linspace(0.0, 1.0, n) for n in lengths]
        self.n_models = 0
        self.values = self._compute(self.axes)

    def _compute(self, axes):
        mesh = np.meshgrid(*axes, indexing="ij")
        u = np.stack([m.ravel() for m in mesh], axis=1)
        self.n_models += len(u)
        return self.outputs(u).reshape(*mesh[0].shape, -1)

    def refine(self, axis):
        """Halve the cells of an axis."""
        old = self.axes[axis]
        middle = 0.5 * (old[1:] + old[:-1])
        axes = list(self.axes)
        axes[axis] = middle
        new = self._compute(axes)
        both = np.empty((*self.values.shape[:axis], len(old) + len(middle),
                         *self.values.shape[axis + 1 :]))  # fmt: skip
        index = [slice(None)] * both.ndim
        index[axis] = slice(0, None, 2)
        both[tuple(index)] = self.values
        index[axis] = slice(1, None, 2)
        both[tuple(index)] = new
        self.values = both
        self.axes[axis] = np.linspace(0.0, 1.0, both.shape[axis])

    def spline(self, axis):
        """Return the spline along an axis, if every model has a solution."""
        k = min(3, len(self.axes[axis]) - 1)
        return make_interp_spline(self.axes[axis], self.values, k=k, axis=axis)

    def errors(self, axis, faint, rng):
        """Try the middles of cells of an axis.

        Returns
        -------
        of_spline, of_line : float
            Relative errors of cubic and of linear interpolation.
        """
        shape = self.values.shape[:-1]
        place = [rng.integers(0, n, _N_TRIED) for n in shape]
        place[axis] = rng.integers(0, shape[axis] - 1, _N_TRIED)
        u = np.stack([a[p] for a, p in zip(self.axes, place, strict=True)], axis=1)
        step = self.axes[axis][1]
        u[:, axis] += 0.5 * step
        self.n_models += len(u)
        truth = self.outputs(u)
        after = list(place)
        after[axis] = place[axis] + 1
        line = 0.5 * (self.values[tuple(place)] + self.values[tuple(after)])
        cubic = line
        if not np.isnan(self.values).any():
            # of each place its own row of the grid
            rows = np.moveaxis(self.values, axis, 0)
            others = [p for a, p in enumerate(place) if a != axis]
            if others:
                rows = rows[(slice(None), *others)]  # (n_axis, n_tried, n_lines)
            else:
                rows = np.repeat(rows[:, None], len(u), axis=1)
            k = min(3, shape[axis] - 1)
            curve = make_interp_spline(self.axes[axis], rows, k=k)
            cubic = curve(u[:, axis])[np.arange(len(u)), np.arange(len(u))]
        scale = np.abs(truth) + faint

        def typical(values):
            error = (np.abs(values - truth) / scale).max(axis=1)
            error = error[~np.isnan(error)]
            return float(np.quantile(error, _QUANTILE)) if len(error) else 0.0

        return typical(cubic), typical(line)


def make_tables(forward, prior, structure, X, faint, tolerance, with_std, verbose=0):
    """Compute tables of the lines of ``X``.

    Parameters
    ----------
    forward : ForwardModel
        The model.
    prior : ParameterSpace
        The prior.
    structure : Structure
        What its parameters do.
    X : ndarray of shape (n_lines, 1)
        The lines.
    faint : ndarray of shape (n_lines,)
        Intensities below which relative errors do not matter.
    tolerance : float
        Relative error to reach.
    with_std : bool
        Whether to have tables of the model's own error too.
    verbose : int, default=0
        1 shows how many models have been computed.

    Returns
    -------
    tables : TableSet
    """
    from tqdm.auto import tqdm

    bar = tqdm(desc="tables of lines", unit=" models", disable=not verbose)
    outputs = X[:, 0].astype(int)
    groups, columns = [], []
    for column, lines in structure.separable.items():
        own = np.flatnonzero(np.isin(outputs, lines))
        if len(own):
            groups.append(own)
            columns.append(column)
    rest = np.setdiff1d(np.arange(len(X)), np.concatenate([*groups, []]).astype(int))
    groups += [np.array([line]) for line in rest]
    columns += [-1] * len(rest)
    order = np.concatenate(groups)
    # single precision has room for lines in units of their errors, whatever theirs is
    unit = np.where(np.isfinite(faint) & (faint > 0), faint, 1.0)
    amplitude, reference, largest = None, None, 1.0
    if structure.scales:
        amplitude = Amplitude([prior[prior.names[i]] for i in structure.scales])
        reference = [float(p.distribution.ppf(0.5)) for p in amplitude.parameters]
        largest = float(np.quantile(amplitude.values, 0.99))

    def evaluate(u):
        """Return the lines, and their errors below, for quantiles on the grid."""
        full = np.full((len(u), len(prior)), 0.5)
        for i, column in enumerate(structure.shared):
            full[:, column] = u[:, i]
        full[:, list(structure.separable)] = u[:, -1:]
        theta = prior.transform(full)
        scale = 1.0
        for column, value in zip(structure.scales, reference or (), strict=True):
            theta[:, column] = value
            scale *= value
        parts = []
        for start in range(0, len(theta), _CHUNK):
            block = theta[start : start + _CHUNK]
            predictions = forward.predict(block, X[order], with_std)
            part = predictions.mean / unit[order]
            if with_std:
                part = np.hstack([part, predictions.std / unit[order]])
            parts.append(part)
            bar.update(len(block))
        return np.concatenate(parts) / scale

    faint = (faint / unit)[order] / largest
    faint = np.concatenate([faint, faint]) if with_std else faint
    n_shared = len(structure.shared)
    grid = _Grid(evaluate, [_SHARED_NODES] * n_shared + [_OWN_NODES])
    rng = np.random.default_rng(0)
    while True:
        errors = [grid.errors(a, faint, rng) for a in range(n_shared + 1)]
        cubic = np.array([e[0] for e in errors])
        worst = int(np.argmax(cubic))
        size = np.prod(grid.values.shape[:-1])
        if cubic[worst] <= 0.5 * tolerance or 2 * size > _MOST_MODELS:
            break
        grid.refine(worst)
    bar.close()
    unsolved = bool(np.isnan(grid.values).any())
    values, parts = grid.values, [1] * (n_shared + 1)
    if not unsolved:
        line = np.array([e[1] for e in errors])
        parts = _parts(line, cubic, tolerance, values.shape[:-1], len(order))
        for axis, n in enumerate(parts):
            if n > 1:
                length = n * (values.shape[axis] - 1) + 1
                nodes = np.linspace(0.0, 1.0, values.shape[axis])
                spline = make_interp_spline(nodes, values, k=3, axis=axis)
                values = spline(np.linspace(0.0, 1.0, length))
        values = _level(values)
        if getattr(forward, "nonnegative", False):
            values = np.maximum(values, 0.0)
        error = float(max(np.max(cubic), np.max(_LEVEL * line / np.square(parts))))
    else:
        error = float(max(e[1] for e in errors))
    tables = _arrays(values, groups, columns, order, amplitude, with_std)
    return TableSet(
        tables, order, unit[order], columns, amplitude, error, grid.n_models, unsolved
    )


def _level(values):
    """Move nodes so that straight lines between them have no error in the mean.

    Half of a chord's greatest error, and none of its bias, is left: what fits best in
    the sense of least squares.
    """
    for axis in range(values.ndim - 1):
        values = np.moveaxis(values, axis, 0)
        if len(values) > 2:
            curvature = values[2:] - 2 * values[1:-1] + values[:-2]
            values = np.concatenate(
                [values[:1], values[1:-1] - curvature / 12, values[-1:]]
            )
        values = np.moveaxis(values, 0, axis)
    return values


def _parts(line, cubic, tolerance, shape, n_lines):
    """Return into how many parts to cut the cells of each axis."""
    parts = [1] * len(line)
    entries = float(np.prod(shape)) * n_lines
    while True:
        left = _LEVEL * line / np.square(parts)
        worst = int(np.argmax(left))
        if left[worst] <= tolerance or parts[worst] == _PARTS[-1]:
            return parts
        following = _PARTS[_PARTS.index(parts[worst]) + 1]
        if entries * following / parts[worst] > _MOST_ENTRIES:
            return parts
        entries *= following / parts[worst]
        parts[worst] = following


def _arrays(values, groups, columns, order, amplitude, with_std):
    """Return the tables as the compiled likelihood takes them."""
    n_lines = len(order)
    lengths = values.shape[:-1]
    own_nodes = [
        lengths[-1] if column >= 0 else 1
        for group, column in zip(groups, columns, strict=True)
        for _ in group
    ]
    places = np.cumsum([0, *own_nodes])
    n_cells = int(np.prod(lengths[:-1]))

    def rows(values):
        """Return all lines at their nodes, a row for each place on the shared grid."""
        flat = np.empty((n_cells, places[-1]), dtype=np.float32)
        for line, n in enumerate(own_nodes):
            begin, own = places[line], values[..., line].reshape(n_cells, -1)
            flat[:, begin : begin + n] = own[:, :n]
        return flat

    stds = np.empty((0, places[-1]), dtype=np.float32)
    probits = (0.0, 1.0) if amplitude is None else (
        amplitude.first_probit, amplitude.probit_step
    )  # fmt: skip
    return Tables(
        rows(np.where(np.isnan(values), NO_SOLUTION, values)),
        rows(values[..., n_lines:]) if with_std else stds,
        places[:-1],
        np.array(own_nodes, dtype=np.int64),
        np.cumsum([0, *map(len, groups)]),
        np.array(lengths[:-1], dtype=np.int64),
        np.ones(1) if amplitude is None else amplitude.values,
        *probits,
        True,
    )
