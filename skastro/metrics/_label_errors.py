"""Errors of labels of stars, label by label."""

from dataclasses import dataclass

import numpy as np

from ..utils.arrays import is_table, names_of, plain

#: Standard deviations of a normal distribution in its median absolute deviation.
_MAD = 1.482602218505602


@dataclass(frozen=True, repr=False)
class LabelErrors:
    """How predicted labels differ from true ones, in the unit of each label.

    Attributes
    ----------
    names : list of str
        Names of the labels.
    n_stars : ndarray of int, of shape (n_labels,)
        Stars of which both are known.
    rmse : ndarray of shape (n_labels,)
        Root mean square of predicted less true labels: of abundances, in dex.
    bias : ndarray of shape (n_labels,)
        Their mean.
    typical : ndarray of shape (n_labels,)
        1.48 times their median absolute value: the standard deviation, if they were
        normal without bias, whatever outliers do.
    scatter : ndarray of shape (n_labels,)
        Standard deviation of the true labels: what is in reach without a spectrum.
    within : ndarray of shape (n_labels,) or None
        Share of stars whose error is less than stated: 0.683 if errors are right.
        None where none were given.
    pull : ndarray of shape (n_labels,) or None
        Root mean square of errors over stated ones: 1 if these are right. Outliers
        count more than in `within`.
    """

    names: list
    n_stars: np.ndarray
    rmse: np.ndarray
    bias: np.ndarray
    typical: np.ndarray
    scatter: np.ndarray
    within: np.ndarray | None = None
    pull: np.ndarray | None = None

    def summary(self):
        """Write all of it as a table.

        Returns
        -------
        table : str
        """
        columns = {
            "stars": self.n_stars,
            "RMSE": self.rmse,
            "bias": self.bias,
            "1.48 MAD": self.typical,
            "scatter": self.scatter,
            "in 68 %": self.within,
            "pull": self.pull,
        }
        columns = {name: c for name, c in columns.items() if c is not None}
        width = max(len("label"), *map(len, self.names))
        lines = ["label".ljust(width) + "".join(name.rjust(11) for name in columns)]
        for j, name in enumerate(self.names):
            numbers = [
                f"{c[j]:d}" if c.dtype.kind == "i" else f"{c[j]:#.3g}"
                for c in columns.values()
            ]
            lines.append(name.ljust(width) + "".join(n.rjust(11) for n in numbers))
        return "\n".join(lines)

    __repr__ = summary


def label_errors(y_true, y_pred, y_std=None, *, names=None):
    """Return how predicted labels differ from true ones, label by label.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, n_labels) or (n_samples,)
        True labels, NaN where not known; of abundances, in dex.
    y_pred : array-like of the same shape
        Predicted labels; those that are NaN do not count.
    y_std : array-like of the same shape, default=None
        1-sigma errors of predicted labels, as ``predict(X, return_std=True)`` returns
        them.
    names : sequence of str, default=None
        Names of the labels; by default those of the columns of `y_true` or `y_pred`,
        or ``label0``, … of bare arrays.

    Returns
    -------
    errors : LabelErrors
        ``errors.rmse`` is what Fig. 4.4 of the thesis shows for each element.

    Raises
    ------
    ValueError
        If shapes differ, there is a label without any star that counts, columns have
        other names, or an error is not positive.

    See Also
    --------
    skastro.labels.LatentRegressor : Labels from latent variables.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.5, Fig. 4.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metrics import label_errors
    >>> truth = np.random.default_rng(0).normal(0, 0.1, size=(500, 2))
    >>> found = truth + np.random.default_rng(1).normal(0, 0.02, size=(500, 2))
    >>> label_errors(truth, found, np.full((500, 2), 0.02), names=["Mg", "Mn"])
    label      stars       RMSE       bias   1.48 MAD    scatter    in 68 %       pull
    Mg           500     0.0195   -0.00196     0.0198     0.0984      0.720      0.973
    Mn           500     0.0200  -0.000206     0.0199     0.0967      0.678       1.00
    """
    arrays, found = {}, {}
    given = {"y_true": y_true, "y_pred": y_pred, "y_std": y_std}
    for key, values in given.items():
        if values is None:
            continue
        table = is_table(values) or hasattr(values, "columns")
        found[key] = names_of(values) if table else None
        arrays[key] = np.asarray(plain(values, key), dtype=np.float64)
    shape = arrays["y_true"].shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(
            "`y_true` must have shape (n_samples, n_labels) or (n_samples,), got"
            f" {shape}."
        )
    for key, values in arrays.items():
        if values.shape != shape:
            raise ValueError(
                f"`{key}` must have the shape of `y_true`, {shape}, got {values.shape}."
            )
    names = _names(names, found, 1 if len(shape) == 1 else shape[1])
    truth, labels, *std = (a.reshape(len(a), -1) for a in arrays.values())
    known = ~np.isnan(truth) & ~np.isnan(labels)
    if std and not (std[0] > 0)[known].all():
        row, column = np.argwhere(known & ~(std[0] > 0))[0]
        raise ValueError(
            "`y_std` must be positive where labels are known, got"
            f" {std[0][row, column]} of {names[column]!r} in row {row}."
        )
    empty = ~known.any(axis=0)
    if empty.any():
        raise ValueError(
            f"No star has both a true and a predicted {names[int(empty.argmax())]!r};"
            " leave this label out."
        )
    away = np.where(known, labels - truth, np.nan)
    within = pull = None
    if std:
        ratio = away / std[0]
        within = (np.abs(ratio) < 1).sum(axis=0) / known.sum(axis=0)
        pull = np.sqrt(np.nanmean(ratio**2, axis=0))
    return LabelErrors(
        names,
        known.sum(axis=0),
        np.sqrt(np.nanmean(away**2, axis=0)),
        np.nanmean(away, axis=0),
        _MAD * np.nanmedian(np.abs(away), axis=0),
        np.nanstd(np.where(known, truth, np.nan), axis=0),
        within,
        pull,
    )


def _names(names, found, n_labels):
    """Return the names of labels, which tables must agree on."""
    if names is None:
        known = [own for own in found.values() if own is not None]
        names = known[0] if known else [f"label{j}" for j in range(n_labels)]
    names = [str(name) for name in names]
    if len(names) != n_labels:
        raise ValueError(
            f"`names` must have one name for each of {n_labels} labels, got {names}."
        )
    for key, own in found.items():
        if own is not None and set(own) & set(names) and list(own) != names:
            raise ValueError(
                f"The columns of `{key}` must be the labels in the same order, {names},"
                f" got {list(own)}."
            )
    return names
