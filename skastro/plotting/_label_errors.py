"""Pictures of predicted labels beside true ones."""

import inspect

import numpy as np
from sklearn import get_config
from sklearn.utils.metadata_routing import get_routing_for_object

from ..metrics._representation import chosen, flat
from ..utils.arrays import names_of, plain
from ..utils.predictive_spread import has_spread
from ._label_names import label_numbers, label_units
from ._label_panels import (
    annotate,
    density,
    label_panels,
    one_scale,
    set_limits,
    typical_error,
)

#: Normal scatter over the median absolute deviation.
_MAD = 1.4826
#: Times the scatter beyond which residuals are outside the panel, if there are any.
_RESIDUALS_SHOWN = 6


class LabelErrorDisplay:
    """Predicted labels against true ones, and their residuals, a column a label.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one. A panel tells,
    in the unit of its label, the bias, the scatter and the rms of residuals, and the
    share of stars that are within one sigma, of which 68 % should be.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples, n_labels)
        True and predicted labels; stars count where neither is NaN.
    y_std : ndarray of shape (n_samples, n_labels), default=None
        1-sigma errors of the predicted ones.
    label_names : sequence of str, default=None
        Names of the labels; ``label0``, … by default.
    units : sequence of str, default=None
        Units of the labels, empty for none.

    Attributes
    ----------
    bias_ : ndarray of shape (n_labels,)
        Median of residuals, predicted less true.
    scatter_ : ndarray of shape (n_labels,)
        1.48 times the median absolute deviation from the bias.
    rms_ : ndarray of shape (n_labels,)
        Root mean square of residuals.
    coverage_ : ndarray of shape (n_labels,) or None
        Share of stars whose residual is at most `y_std`.
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
    >>> display.rms_.round(-1)
    array([20.])
    >>> display.coverage_.round(1)
    array([0.7])
    """

    def __init__(self, y_true, y_pred, y_std=None, label_names=None, units=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.label_names = label_names
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
        names = self.label_names or [f"label{k}" for k in range(n_labels)]
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
        self.bias_, self.scatter_, self.rms_ = np.full((3, n_labels), np.nan)
        self.coverage_ = None if self.y_std is None else np.full(n_labels, np.nan)
        densities = []
        for k, (ax, below) in enumerate(self.axes_.T):
            unit = f" [{units[k]}]" if units[k] else ""
            ax.set_title(names[k], fontsize="medium")
            ax.set_ylabel(f"predicted{unit}", fontsize="small")
            below.set_ylabel(f"residual{unit}", fontsize="small")
            below.set_xlabel(f"true{unit}", fontsize="small")
            ax.tick_params(labelbottom=False)
            known = ~np.isnan(self.y_true[:, k]) & ~np.isnan(self.y_pred[:, k])
            if not known.any():
                annotate(ax, "known of no star")
                continue
            true = self.y_true[known, k]
            residual = self.y_pred[known, k] - true
            std = None if self.y_std is None else self.y_std[known, k]
            self._measure(k, residual, std)
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
            if std is not None and np.isfinite(std).any() and len(true) > max_stars:
                typical_error(ax, np.median(std[np.isfinite(std)]))
            ax.axline((true[0],) * 2, slope=1, color="k", linewidth=0.8)
            below.axhline(0, color="k", linewidth=0.8)
        one_scale(densities, self.axes_)
        return self

    def _measure(self, k, residual, std):
        """Summarise the residuals of label k."""
        self.bias_[k] = np.median(residual)
        self.scatter_[k] = _MAD * np.median(np.abs(residual - self.bias_[k]))
        self.rms_[k] = np.sqrt(np.mean(residual**2))
        if std is not None and not np.isnan(std).all():
            self.coverage_[k] = np.mean((np.abs(residual) <= std)[~np.isnan(std)])

    def _statistics(self, k, unit):
        """Return them in words."""
        decimals = _decimals(self.scatter_[k] or self.rms_[k])
        names = ("bias", "scatter", "rms")
        values = (self.bias_[k], self.scatter_[k], self.rms_[k])
        lines = [
            f"{name} {_fixed(value, decimals)} {unit}".rstrip()
            for name, value in zip(names, values, strict=True)
        ]
        if self.coverage_ is not None and not np.isnan(self.coverage_[k]):
            lines.append(f"{100 * self.coverage_[k]:.0f} % within 1σ")
        return "\n".join(lines)

    def _limit(self, k, residual):
        """Return the half-height of the panel of residuals."""
        largest = 1.1 * np.abs(residual).max()
        if self.scatter_[k] == 0:
            return largest or 1.0
        return min(largest, abs(self.bias_[k]) + _RESIDUALS_SHOWN * self.scatter_[k])

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
            If shapes differ, a label is infinite or an error negative, or there is no
            such label.
        """
        names = _names(y_true)
        y_true = _columns(y_true, "y_true")
        y_pred = _columns(y_pred, "y_pred", y_true.shape)
        for name, values in (("y_true", y_true), ("y_pred", y_pred)):
            if np.isinf(values).any():
                raise ValueError(f"`{name}` must be finite, or NaN where missing.")
        if y_std is not None:
            y_std = _columns(y_std, "y_std", y_true.shape)
            if (y_std < 0).any():
                raise ValueError(
                    f"`y_std` must be zero or positive, got {np.nanmin(y_std)}."
                )
        n_labels = y_true.shape[1]
        names = list(label_names or names or [f"label{k}" for k in range(n_labels)])
        if len(names) != n_labels:
            raise ValueError(
                f"`label_names` must have a name for each of {n_labels} labels, got"
                f" {names}."
            )
        shown = label_numbers(labels, names, "labels")
        if not shown:
            raise ValueError(f"`labels` must give at least one of {names}.")
        units = label_units(units, names)
        display = cls(
            y_true[:, shown],
            y_pred[:, shown],
            None if y_std is None else y_std[:, shown],
            [names[k] for k in shown],
            [units[k] for k in shown],
        )
        return display.plot(axes, **kwargs)

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
        if known is not None:
            given = _names(y)
            if given and set(given) & set(known) and given != list(known):
                raise ValueError(
                    "Labels must be those of the fit, in the same order,"
                    f" {list(known)}, got {given}."
                )
            kwargs.setdefault("label_names", given or list(known))
        params = {} if sigma is None else {"sigma": sigma}
        if _predicts_errors(estimator):
            y_pred, y_std = estimator.predict(X, **params, return_std=True)
        else:
            y_pred, y_std = estimator.predict(X, **params), None
        return cls.from_predictions(y, y_pred, y_std, axes=axes, **kwargs)


def _predicts_errors(estimator):
    """Tell whether `predict` takes ``return_std``, or hands it on to one that does."""
    parameters = inspect.signature(estimator.predict).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        return has_spread(estimator)
    if not get_config()["enable_metadata_routing"]:
        return has_spread(flat(estimator)[-1])
    return bool(get_routing_for_object(estimator).consumes("predict", ["return_std"]))


def _columns(values, name, shape=None):
    """Let labels in, one column a label."""
    values = np.array(plain(values, name), dtype=float)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ValueError(
            f"`{name}` must have shape (n_samples, n_labels) or (n_samples,), got"
            f" {values.shape}."
        )
    if shape is not None and values.shape != shape:
        raise ValueError(
            f"`{name}` must have the shape of y_true, {shape}, got {values.shape}."
        )
    return values


def _names(y):
    """Return the names of the columns of y, if they have any."""
    if np.ndim(y) == 1:
        name = getattr(y, "name", None)
        return [name] if isinstance(name, str) else None
    return names_of(y)


def _decimals(value):
    """Return the decimals that give a number two digits."""
    return int(max(0, 1 - np.floor(np.log10(value)))) if value > 0 else 0


def _fixed(value, decimals):
    """Return a number with so many decimals, and no minus before a zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")
