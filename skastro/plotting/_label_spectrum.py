"""Pictures of a spectrum, its model, and what labels contribute to it."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..labels._labels import label_number
from ..utils.arrays import is_table, plain
from ..utils.sigma import broadcast_errors, check_error_names
from ._label_names import label_numbers, label_units

#: Times the usual distance of pixels that is a gap between detectors.
_GAP = 3


class LabelSpectrumDisplay:
    """A spectrum, its model and residual, and what single labels contribute to it.

    Use :meth:`from_estimator` to make one. The contribution of a label is what changes
    in the model when it rises by a step while all others stay. Pixels without data,
    and what is between detectors, are gaps.

    Parameters
    ----------
    wavelength : ndarray of shape (n_features,) or None
        Of the pixels [Angstrom]; their numbers by default.
    flux : ndarray of shape (n_features,)
        The spectrum, NaN where it was not observed.
    model : ndarray of shape (n_features,)
        Its model.
    error : ndarray of shape (n_features,)
        1-sigma error of the flux about the model.
    contributions : ndarray of shape (n_shown, n_features)
        What labels contribute.
    label_names : sequence of str
        Names of these labels.
    steps : sequence of float
        How far they rise.
    units : sequence of str
        Their units, empty for none.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2 + n_shown,)
        Spectrum, residual, and contributions.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(
        self, wavelength, flux, model, error, contributions, label_names, steps, units
    ):
        self.wavelength = wavelength
        self.flux = flux
        self.model = model
        self.error = error
        self.contributions = contributions
        self.label_names = label_names
        self.steps = steps
        self.units = units

    def plot(self, axes=None, *, limits=None, band=True, colors=("C0", "C1")):
        """Draw the panels.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            Where to draw, of length 2 + n_shown; a new figure by default.
        limits : tuple of two float, default=None
            Range of wavelengths to show; all by default.
        band : bool, default=True
            Whether to shade one sigma about the model, and about no residual.
        colors : tuple of two color, default=("C0", "C1")
            Of the model and of contributions.

        Returns
        -------
        display : LabelSpectrumDisplay

        Raises
        ------
        ValueError
            If there is no pixel within the limits.
        """
        import matplotlib.pyplot as plt

        x, keep = self._window(limits)
        n_shown = len(self.label_names)
        if axes is None:
            _, axes = plt.subplots(
                2 + n_shown,
                1,
                figsize=(9, 3.8 + 1.1 * n_shown),
                sharex=True,
                layout="constrained",
                gridspec_kw={"height_ratios": [2.6, 1.1] + [1] * n_shown},
            )
        if np.size(axes) != 2 + n_shown:
            raise ValueError(
                f"`axes` must be {2 + n_shown}, for spectrum, residual and"
                f" {n_shown} contributions, got {np.size(axes)}."
            )
        self.axes_, self.figure_ = np.asarray(axes), axes[0].figure
        whole, flux, model, error, *contributions = _with_gaps(
            x,
            *(row[keep] for row in (self.flux, self.model, self.error)),
            *(row[keep] for row in self.contributions),
        )
        spectrum, residual, *others = self.axes_
        if band:
            shade = {"color": colors[0], "alpha": 0.25, "linewidth": 0}
            spectrum.fill_between(
                whole, model - error, model + error, label="1σ", **shade
            )
            residual.fill_between(whole, -np.ones(len(whole)), 1, **shade)
        spectrum.plot(whole, flux, color="0.25", linewidth=1, label="star")
        spectrum.plot(whole, model, color=colors[0], linewidth=1.2, label="model")
        spectrum.set_ylabel("flux")
        spectrum.legend(
            frameon=False,
            ncols=3,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.1,
        )
        residual.axhline(0, color="0.6", linewidth=0.8)
        residual.plot(whole, (flux - model) / error, color="0.25", linewidth=0.8)
        residual.set_ylabel("residual [σ]")
        for ax, values, name, step, unit in zip(
            others, contributions, self.label_names, self.steps, self.units, strict=True
        ):
            ax.axhline(0, color="0.6", linewidth=0.8)
            ax.plot(whole, values, color=colors[1], linewidth=1.2)
            ax.fill_between(whole, values, color=colors[1], alpha=0.3, linewidth=0)
            title = f"{name} + {_number(step)} {unit}".rstrip()
            ax.set_title(title, loc="left", fontsize="medium", pad=3)
            ax.set_ylabel("Δ flux")
        self.axes_[-1].set_xlabel(
            "pixel" if self.wavelength is None else "wavelength [Å]"
        )
        spectrum.margins(x=0)
        self.figure_.align_ylabels(self.axes_)
        return self

    def _window(self, limits):
        """Return the wavelengths of pixels to show, and which ones these are."""
        x = self.wavelength
        x = np.arange(len(self.flux)) if x is None else np.asarray(x)
        keep = np.ones(len(x), dtype=bool)
        if limits is not None:
            keep = (x >= limits[0]) & (x <= limits[1])
        if not keep.any():
            raise ValueError(
                f"`limits` must hold pixels, which are from {x.min():g} to {x.max():g},"
                f" got {tuple(limits)}."
            )
        return x[keep], keep

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        row=0,
        *,
        sigma=None,
        labels=None,
        steps=None,
        units=None,
        wavelength=None,
        axes=None,
        **kwargs,
    ):
        """Draw one spectrum beside its model at the labels inferred from it.

        Parameters
        ----------
        estimator : LabelRegressor
            Fitted.
        X : array-like of shape (n_samples, n_features)
            Spectra.
        row : int, default=0
            Which of them.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of X, as for `predict`. Errors of flux are these and the
            intrinsic scatter of the model.
        labels : sequence of str or int, default=None
            Names or numbers of labels whose contributions to draw; by default those of
            `steps`, or all.
        steps : dict, default=None
            Of labels, by name or number, how far they rise, in their units; others
            rise by their own error. Contributions are central differences: half of
            what changes from that much below to that much above.
        units : dict, default=None
            Of labels, by name or number, their units.
        wavelength : array-like of shape (n_features,), default=None
            Of the pixels [Angstrom]; their numbers by default.
        axes : sequence of matplotlib Axes, default=None
            Where to draw, of length 2 + n_shown.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LabelSpectrumDisplay

        Raises
        ------
        ValueError
            If there is no such row or label, a step is not positive, or nothing was
            observed of the spectrum.

        Examples
        --------
        >>> import numpy as np
        >>> from skastro.labels import LabelRegressor
        >>> from skastro.plotting import LabelSpectrumDisplay
        >>> rng = np.random.default_rng(0)
        >>> y = rng.normal(0, 0.3, (200, 1))
        >>> wavelength = np.linspace(15_700, 15_710, 50)
        >>> line = np.exp(-0.5 * (wavelength - 15_705) ** 2)
        >>> X = 1 - (0.3 + 0.1 * y) * line + 0.002 * rng.normal(size=(200, 50))
        >>> model = LabelRegressor().fit(X, y)
        >>> display = LabelSpectrumDisplay.from_estimator(
        ...     model, X, row=3, steps={0: 0.1}, units={0: "dex"}, wavelength=wavelength
        ... )
        >>> display.contributions.min().round(2)
        np.float64(-0.01)
        """
        check_is_fitted(estimator)
        names = list(estimator.label_names_)
        flux, sigma, inferred = _one_star(estimator, X, row, sigma)
        shown = label_numbers(labels if labels is not None else steps, names, "labels")
        rise = np.sqrt(np.diagonal(inferred.covariance[0])).copy()
        for key, step in (steps or {}).items():
            if not (np.isfinite(step) and step > 0):
                raise ValueError(
                    f"`steps` must be positive and finite, got {step!r} for {key!r}."
                )
            rise[label_number(key, names, "steps")] = step
        up = np.diag(rise)[shown]
        at = inferred.labels
        model, *moved = estimator.predict_spectra(np.vstack([at, at + up, at - up]))
        above, below = np.reshape(moved, (2, len(shown), len(model)))
        if wavelength is not None:
            wavelength = np.asarray(plain(wavelength, "wavelength", unit="Angstrom"))
            if wavelength.shape != flux.shape:
                raise ValueError(
                    f"`wavelength` must be one for each of {len(flux)} pixels, got"
                    f" shape {wavelength.shape}."
                )
        display = cls(
            wavelength,
            flux,
            model,
            np.hypot(estimator.scatter_, sigma),
            (above - below) / 2,
            [names[k] for k in shown],
            rise[shown],
            [label_units(units, names)[k] for k in shown],
        )
        return display.plot(axes, **kwargs)


def _one_star(estimator, X, row, sigma):
    """Return its flux, NaN where it was not observed, its errors, and its labels."""
    if not (hasattr(X, "shape") or is_table(X)):
        X = np.asarray(X)
    if not 0 <= row < len(X):
        raise ValueError(f"`row` must be one of {len(X)} spectra, got {row}.")
    own = X.iloc[[row]] if hasattr(X, "iloc") else X[row : row + 1]
    flux = np.array(plain(own, "X"), dtype=float)
    error = np.zeros(flux.shape)
    if sigma is not None:
        check_error_names(sigma, getattr(estimator, "feature_names_in_", None))
        sigma = broadcast_errors(sigma, (len(X), flux.shape[1]))
        sigma = error = np.asarray(sigma[row : row + 1], dtype=float)
        flux[~np.isfinite(error)] = np.nan
    inferred = estimator.infer(own, sigma=sigma)
    if inferred.n_observed[0] == 0:
        raise ValueError(f"Nothing was observed of the spectrum in row {row} of X.")
    return flux[0], error[0], inferred


def _with_gaps(x, *rows):
    """Return wavelengths and rows with a NaN between detectors or orders."""
    distance = np.diff(x)
    usual = np.median(distance) if len(distance) else 1.0
    after = np.flatnonzero((distance / usual > _GAP) | (distance / usual < 0)) + 1
    return [np.insert(row.astype(float), after, np.nan) for row in (x, *rows)]


def _number(value):
    """Return a number with at most two digits, or three, in plain notation."""
    return np.format_float_positional(
        value, precision=3, unique=False, fractional=False, trim="-"
    )
