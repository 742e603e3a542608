"""Pictures of predicted labels beside true ones."""

import inspect

import numpy as np
from sklearn import get_config
from sklearn.utils.metadata_routing import get_routing_for_object

from ..labels._labels import names_of_labels
from ..metrics import label_errors
from ..metrics._representation import chosen, flat
from ..utils.arrays import plain
from ..utils.predictive_spread import has_spread
from ..utils.sigma import check_error_names
from ._label_names import label_numbers, label_units
from ._label_panels import (
    annotate,
    density,
    label_panels,
    one_scale,
    set_limits,
    typical_error,
)

#: Times 1.48 MAD beyond which residuals are outside the panel, if there are any.
_RESIDUALS_SHOWN = 6


class LabelErrorDisplay:
    """Predicted labels against true ones, and their residuals, a column a label.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one. A panel tells,
    in the unit of its label, the bias of predicted labels, 1.48 times the median
    absolute residual, its rms, and the share of stars within one sigma, of which 68 %
    should be: those of :func:`~skastro.metrics.label_errors`.

    Parameters
    ----------
    errors : LabelErrors
        Summary of the residuals, with the names of the labels.
    y_true, y_pred : ndarray of shape (n_samples, n_labels)
        True and predicted labels; stars count where neither is NaN.
    y_std : ndarray of shape (n_samples, n_labels), default=None
        1-sigma errors of the predicted ones.
    units : sequence of str, default=None
        Units of the labels, empty for none.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2, n_labels)
        Labels in the first row, residuals in the second.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.plotting import LabelErrorDisplay
    >>> rng = np.random.default_rng(0)
    >>> teff = rng.uniform(4000, 5000, 200)
    >>> display = LabelErrorDisplay.from_predictions(
    ...     teff,
    ...     teff + 20 * rng.normal(size=200),
    ...     np.full(200, 20.0),
    ...     label_names=["teff"],
    ...     units={"teff": "K"},
    ... )
    >>> display.errors.rmse.round(-1)
    array([20.])
    >>> display.errors.within.round(1)
    array([0.7])
    """

    def __init__(self, errors, y_true, y_pred, y_std=None, units=None):
        self.errors = errors
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.units = units

    def plot(
        self, axes=None, *, n_columns=4, max_stars=1000, color="C0", cmap="viridis"
    ):
        """Draw the panels.

        Parameters
        ----------
        axes : array of matplotlib Axes of shape (2, n_labels), default=None
            Where to draw; a new figure by default.
        n_columns : int, default=4
            Labels side by side in a new figure.
        max_stars : int, default=1000
            Most stars that are drawn as points with error bars. More than these are
            drawn as their density, with the median error in a corner.
        color : color, default="C0"
            Of the points.
        cmap : str or Colormap, default="viridis"
            Of the density.

        Returns
        -------
        display : LabelErrorDisplay
        """
        n_labels = self.y_true.shape[1]
        units = self.units or [""] * n_labels
        if axes is None:
            axes = label_panels(n_labels, n_columns)
        if np.size(axes) != 2 * n_labels:
            raise ValueError(
                f"`axes` must have shape (2, {n_labels}), two for each label, got"
                f" {np.shape(axes)}."
            )
        self.axes_ = np.asarray(axes).reshape(2, n_labels)
        self.figure_ = self.axes_[0, 0].figure
        densities = []
        for k, (ax, below) in enumerate(self.axes_.T):
            unit = f" [{units[k]}]" if units[k] else ""
            ax.set_title(self.errors.names[k], fontsize="medium")
            ax.set_ylabel(f"predicted{unit}", fontsize="small")
            below.set_ylabel(f"residual{unit}", fontsize="small")
            below.set_xlabel(f"true{unit}", fontsize="small")
            ax.tick_params(labelbottom=False)
            known = ~np.isnan(self.y_true[:, k]) & ~np.isnan(self.y_pred[:, k])
            true = self.y_true[known, k]
            residual = self.y_pred[known, k] - true
            std = None if self.y_std is None else self.y_std[known, k]
            annotate(ax, self._statistics(k, units[k]))
            limit = self._limit(k, residual)
            set_limits(ax, below, true, true + residual, limit)
            outside = int((np.abs(residual) > limit).sum())
            if outside:
                note = f"{outside} of {len(residual)} outside"
                annotate(below, note, color="0.35", fontsize="x-small")
            for panel, values in ((ax, true + residual), (below, residual)):
                if len(true) > max_stars:
                    densities.append(density(panel, true, values, cmap))
                    continue
                panel.errorbar(
                    true,
                    values,
                    std,
                    fmt="o",
                    color=color,
                    markersize=2.5,
                    markeredgewidth=0,
                    elinewidth=0.6,
                    alpha=0.5,
                )
            if std is not None and len(true) > max_stars:
                typical_error(ax, np.median(std))
            ax.axline((true[0],) * 2, slope=1, color="k", linewidth=0.8)
            below.axhline(0, color="k", linewidth=0.8)
        one_scale(densities, self.axes_)
        return self

    def _statistics(self, k, unit):
        """Say how large residuals of label k are."""
        errors = self.errors
        decimals = _decimals(errors.typical[k] or errors.rmse[k])
        values = {"bias": errors.bias, "1.48 MAD": errors.typical, "rms": errors.rmse}
        lines = [
            f"{name} {_fixed(value[k], decimals)} {unit}".rstrip()
            for name, value in values.items()
        ]
        if errors.within is not None:
            lines.append(f"{100 * errors.within[k]:.0f} % within 1σ")
        return "\n".join(lines)

    def _limit(self, k, residual):
        """Return the half-height of the panel of residuals."""
        largest = 1.1 * np.abs(residual).max()
        if self.errors.typical[k] == 0:
            return largest or 1.0
        return min(largest, _RESIDUALS_SHOWN * self.errors.typical[k])

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        y_std=None,
        *,
        label_names=None,
        labels=None,
        units=None,
        axes=None,
        **kwargs,
    ):
        """Draw given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels) or (n_samples,)
            True labels, NaN where they are not known.
        y_pred : array-like of the same shape
            Predicted labels, NaN where there is none.
        y_std : array-like of the same shape, default=None
            Their 1-sigma errors.
        label_names : sequence of str, default=None
            Names of the labels; by default those of the columns of `y_true`, or
            ``label0``, ….
        labels : sequence of str or int, default=None
            Names or numbers of the labels to draw; all by default.
        units : dict, default=None
            Of labels, by name or number, their units.
        axes : array of matplotlib Axes of shape (2, n_labels), default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LabelErrorDisplay

        Raises
        ------
        ValueError
            If shapes or names of columns differ, a label is infinite or known of no
            star, an error is not positive, or there is no such label.
        """
        if label_names is None:
            label_names = names_of_labels(y_true)
        given = {"y_true": y_true, "y_pred": y_pred, "y_std": y_std}
        arrays = {}
        for name, values in given.items():
            if values is not None:
                check_error_names(values, label_names, name, "the fit or `y_true`")
                arrays[name] = _columns(values, name)
        shape = arrays["y_true"].shape
        names = list(label_names or [f"label{k}" for k in range(shape[1])])
        for name, values in arrays.items():
            if values.shape != shape:
                raise ValueError(
                    f"`{name}` must have the shape of y_true, {shape}, got"
                    f" {values.shape}."
                )
        if len(names) != shape[1]:
            raise ValueError(
                f"`label_names` must have a name for each of {shape[1]} labels, got"
                f" {names}."
            )
        shown = label_numbers(labels, names, "labels")
        if not shown:
            raise ValueError(f"`labels` must give at least one of {names}.")
        units = label_units(units, names)
        arrays = {name: values[:, shown] for name, values in arrays.items()}
        errors = label_errors(**arrays, names=[names[k] for k in shown])
        return cls(errors, **arrays, units=[units[k] for k in shown]).plot(
            axes, **kwargs
        )

    @classmethod
    def from_estimator(cls, estimator, X, y, *, sigma=None, axes=None, **kwargs):
        """Draw the predictions of a fitted regressor.

        Parameters
        ----------
        estimator : regressor
            Fitted, or a pipeline or search that ends in one. Errors are drawn if its
            `predict` takes ``return_std``, which must be requested where metadata
            routing is on.
        X : array-like of shape (n_samples, n_features)
            Spectra that it has not seen.
        y : array-like of shape (n_samples, n_labels) or (n_samples,)
            Their true labels, NaN where they are not known.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of X, for `predict`.
        axes : array of matplotlib Axes of shape (2, n_labels), default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`from_predictions`.

        Returns
        -------
        display : LabelErrorDisplay

        Raises
        ------
        ValueError
            If labels of y are in another order than in the fit.
        """
        estimator = chosen(estimator)
        known = getattr(flat(estimator)[-1], "label_names_", None)
        given = names_of_labels(y)
        if known is not None and (given is None or set(given) & set(known)):
            # which those of y are compared with
            kwargs.setdefault("label_names", list(known))
        params = {} if sigma is None else {"sigma": sigma}
        if _predicts_errors(estimator):
            y_pred, y_std = estimator.predict(X, **params, return_std=True)
        else:
            y_pred, y_std = estimator.predict(X, **params), None
        return cls.from_predictions(y, y_pred, y_std, axes=axes, **kwargs)


def _predicts_errors(estimator):
    """Tell whether `predict` takes ``return_std``, or hands it on to one that does."""
    if has_spread(estimator):
        return True
    parameters = inspect.signature(estimator.predict).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        return False
    if not get_config()["enable_metadata_routing"]:
        return has_spread(flat(estimator)[-1])
    return bool(get_routing_for_object(estimator).consumes("predict", ["return_std"]))


def _columns(values, name):
    """Let labels in, one column a label."""
    values = np.asarray(plain(values, name), dtype=np.float64)
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(
            f"`{name}` must have shape (n_samples, n_labels) or (n_samples,), got"
            f" {values.shape}."
        )
    if name != "y_std" and np.isinf(values).any():
        raise ValueError(f"`{name}` must be finite, or NaN where missing.")
    return values.reshape(len(values), -1)


def _decimals(value):
    """Return the decimals that give a number two digits."""
    return int(max(0, 1 - np.floor(np.log10(value)))) if value > 0 else 0


def _fixed(value, decimals):
    """Return a number with so many decimals, and no minus before a zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")
