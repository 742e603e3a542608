"""Pictures of how well chemical twins are recovered."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..metrics import n_false_twins, twin_recovery_curve
from ..metrics._representation import latents
from ..metrics._twins import siblings


class TwinDistanceDisplay:
    """Distances of twins beside those of random pairs of stars.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    twins, randoms : ndarray
        Distances.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The panel.
    figure_ : matplotlib Figure
        Its figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. 4.2.

    Examples
    --------
    >>> from skastro.plotting import TwinDistanceDisplay
    >>> Z = [[0.0], [0.1], [2.0], [2.1]]
    >>> display = TwinDistanceDisplay.from_predictions(Z, [0, 0, 1, 1])
    >>> display.twins.round(2)
    array([0.1, 0.1, 0.1, 0.1])
    """

    def __init__(self, twins, randoms):
        self.twins = twins
        self.randoms = randoms

    def plot(self, ax=None, *, bins=60, colors=("C3", "0.6")):
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        bins : int, default=60
            Bins of the histograms, equal in the logarithm.
        colors : tuple of two color, default=("C3", "0.6")
            Of twins and of random pairs.

        Returns
        -------
        display : TwinDistanceDisplay
        """
        ax = self.ax_ = _axes(ax)
        self.figure_ = ax.figure
        both = np.concatenate([self.twins, self.randoms])
        positive = both[both > 0]
        low, high = (positive.min(), positive.max()) if len(positive) else (0.5, 2.0)
        if low == high:
            low, high = low / 2, high * 2
        edges = np.geomspace(low, high, bins + 1)
        for values, color, name in [
            (self.randoms, colors[1], "random pairs"),
            (self.twins, colors[0], "twins"),
        ]:
            # those at distance 0 are in the first bin
            values = np.clip(values, low, high)
            weights = np.full(len(values), 1 / max(len(values), 1))
            ax.hist(values, edges, weights=weights, color=color, alpha=0.65, label=name)
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter("")
        ax.set_xlabel("distance")
        ax.set_ylabel("share of pairs")
        ax.legend(frameon=False)
        return self

    @classmethod
    def from_predictions(
        cls, Z, y, *, n_random=20_000, random_state=0, ax=None, **kwargs
    ):
        """Draw the distances of given latent variables.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Stars.
        y : array-like of shape (n_samples,)
            Equal for twins; -1 for stars without one.
        n_random : int, default=20_000
            Number of pairs of strangers to draw.
        random_state : int, RandomState instance or None, default=0
            Draws them.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For `plot`.

        Returns
        -------
        display : TwinDistanceDisplay
        """
        Z = np.asarray(Z, dtype=np.float64)
        y, groups = siblings(np.asarray(y), -1)
        twins = np.array(
            [
                np.linalg.norm(Z[group[group != row]] - Z[row], axis=1).min()
                for row, group in enumerate(groups)
                if len(group)
            ]
        )
        rng = check_random_state(random_state)
        a, b = rng.randint(len(Z), size=(2, n_random))
        strangers = (a != b) & ((y[a] != y[b]) | (y[a] == -1))
        randoms = np.linalg.norm(Z[a[strangers]] - Z[b[strangers]], axis=1)
        return cls(twins, randoms).plot(ax, **kwargs)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, params=None, ax=None, **kwargs):
        """Draw the distances in the latent metric of an estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted disentangler, or a pipeline that ends in one.
        X : array-like of shape (n_samples, n_features)
            Stars.
        y : array-like of shape (n_samples,)
            Equal for twins; -1 for stars without one.
        params : dict, default=None
            Further arguments of `transform`, such as ``{"sigma": sigma}``.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For `from_predictions`.

        Returns
        -------
        display : TwinDistanceDisplay
        """
        Z, _ = latents(estimator, X, one_metric=True, params=params)
        return cls.from_predictions(Z, y, ax=ax, **kwargs)


class TwinRecoveryDisplay:
    """Share of stars with at most so many false twins.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one; give them
    ``ax=display.ax_`` to draw several into one panel.

    Parameters
    ----------
    n : ndarray of int of shape (n_steps,)
        Numbers of false twins.
    fraction : ndarray of shape (n_steps,)
        Shares of the stars.
    name : str, default=None
        For the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The panel.
    figure_ : matplotlib Figure
        Its figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. 4.3.

    Examples
    --------
    >>> from skastro.plotting import TwinRecoveryDisplay
    >>> display = TwinRecoveryDisplay.from_predictions([0, 0, 3], name="example")
    >>> display.fraction.round(2)
    array([0.67, 1.  ])
    """

    def __init__(self, n, fraction, name=None):
        self.n = n
        self.fraction = fraction
        self.name = name

    def plot(self, ax=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        **kwargs : dict
            For `matplotlib.axes.Axes.step`.

        Returns
        -------
        display : TwinRecoveryDisplay
        """
        ax = self.ax_ = _axes(ax)
        self.figure_ = ax.figure
        last = max(10, self.n[-1], *(line.get_xdata()[-1] for line in ax.lines), 1)
        ax.step(
            np.append(self.n, last),
            np.append(self.fraction, self.fraction[-1]),
            where="post",
            **{"label": self.name, **kwargs},
        )
        ax.set_xscale("symlog", linthresh=1, linscale=0.5)
        ax.set_xlim(0, last)
        ax.set_ylim(0, 1.02)
        ax.set_xlabel("false twins, at most")
        ax.set_ylabel("share of stars")
        if self.name is not None or "label" in kwargs:
            ax.legend(frameon=False)
        return self

    @classmethod
    def from_predictions(cls, n_false, *, name=None, ax=None, **kwargs):
        """Draw the curve of given numbers of false twins.

        Parameters
        ----------
        n_false : array-like of int of shape (n_samples,)
            From :func:`~skastro.metrics.n_false_twins`.
        name : str, default=None
            For the legend.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For `plot`.

        Returns
        -------
        display : TwinRecoveryDisplay
        """
        return cls(*twin_recovery_curve(n_false), name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, params=None, name=None, ax=None, **kwargs
    ):
        """Draw the curve of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted disentangler, or a pipeline that ends in one.
        X : array-like of shape (n_samples, n_features)
            Stars.
        y : array-like of shape (n_samples,)
            Equal for twins; -1 for stars without one.
        params : dict, default=None
            Further arguments of `transform`, such as ``{"sigma": sigma}``.
        name : str, default=None
            For the legend; by default the name of the class.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            For `plot`.

        Returns
        -------
        display : TwinRecoveryDisplay
        """
        Z, with_covariance = latents(estimator, X, params=params)
        n_false = n_false_twins(Z, y, with_covariance=with_covariance)
        name = type(estimator).__name__ if name is None else name
        return cls.from_predictions(n_false, name=name, ax=ax, **kwargs)


class RecastDisplay:
    """A star recast to the labels of another, and what is left between them.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    wavelength : ndarray of shape (n_bins,)
        Of the bins.
    star, twin, recast : ndarray of shape (n_bins,)
        The star as observed, its twin, and the star at the labels of the twin.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Spectra, and residuals below them.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Figs. 4.5 and 4.6.
    """

    def __init__(self, wavelength, star, twin, recast):
        self.wavelength = wavelength
        self.star = star
        self.twin = twin
        self.recast = recast

    def plot(self, *, limits=None):
        """Draw spectra and residuals.

        Parameters
        ----------
        limits : tuple of float, default=None
            Range of wavelengths to show; all by default.

        Returns
        -------
        display : RecastDisplay
        """
        import matplotlib.pyplot as plt

        self.figure_, self.axes_ = plt.subplots(
            2,
            1,
            figsize=(8, 4.5),
            sharex=True,
            layout="constrained",
            gridspec_kw={"height_ratios": [2, 1]},
        )
        keep = np.ones(len(self.wavelength), dtype=bool)
        if limits is not None:
            keep = (self.wavelength >= limits[0]) & (self.wavelength <= limits[1])
        x = self.wavelength[keep]
        spectra, residuals = self.axes_
        spectra.plot(x, self.star[keep], color="0.7", label="star")
        spectra.plot(x, self.twin[keep], color="k", label="its twin")
        spectra.plot(x, self.recast[keep], color="C3", lw=1, label="star, recast")
        spectra.legend(frameon=False, ncols=3, loc="lower left")
        spectra.set_ylabel("flux")
        residuals.plot(x, (self.star - self.twin)[keep], color="0.7")
        residuals.plot(x, (self.recast - self.twin)[keep], color="C3", lw=1)
        residuals.set_ylabel("less the twin")
        residuals.set_xlabel("wavelength [Angstrom]")
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, pair, *, wavelength=None, params=None, **kwargs
    ):
        """Recast one star to the labels of another.

        Parameters
        ----------
        estimator : disentangler
            Fitted.
        X : array-like of shape (n_samples, n_features)
            Stars.
        pair : tuple of two int
            Rows of the star and of its twin.
        wavelength : array-like of shape (n_bins,), default=None
            Of the bins [Angstrom]; their numbers by default.
        params : dict, default=None
            Further arguments of `recast`, such as ``{"sigma": sigma_of_the_star}``.
        **kwargs : dict
            For `plot`.

        Returns
        -------
        display : RecastDisplay

        Examples
        --------
        >>> from skastro.datasets import make_twin_spectra
        >>> from skastro.disentangling import PolyDisentangler
        >>> from skastro.plotting import RecastDisplay
        >>> from skastro.preprocessing import append_conditions
        >>> data = make_twin_spectra(100, random_state=0)
        >>> X = append_conditions(data.X, data.u)
        >>> model = PolyDisentangler(slice(-3, None)).fit(X)
        >>> display = RecastDisplay.from_estimator(
        ...     model, X, (0, 1), wavelength=data.wavelength
        ... )
        """
        check_is_fitted(estimator)
        if hasattr(X, "iloc"):
            rows, star = X.iloc[list(pair)].to_numpy(), X.iloc[[pair[0]]]
        else:
            rows = np.asarray(X)[list(pair)]
            star = rows[:1]
        spectra = rows[:, estimator.spectrum_indices_]
        u_new = rows[1, estimator.condition_indices_]
        recast = estimator.recast(star, u_new, **(params or {}))[0]
        if wavelength is None:
            wavelength = np.arange(spectra.shape[1])
        return cls(np.asarray(wavelength), *spectra, recast).plot(**kwargs)


def _axes(ax):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
