"""What all factorisations of line maps share: scaling, gaps, errors, reconstruction."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import as_matrix, refuse_errors_as_y, validate
from ..utils.estimator import SkastroEstimator
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.sigma import check_error_names, check_errors
from ..utils.sklearn_names import Interval, _fit_context
from ..utils.warn import warn
from ._nmf_runs import many, refit

#: Largest seed.
SEEDS = 2**31 - 1
#: Relative gain of the last pass of `transform`, whose problem is convex.
_TRANSFORM_TOL = 1e-9


class Problem:
    """Line maps as a solver takes them.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_lines)
        Scaled intensities, without negative values, NaN where missing.
    sigma : ndarray of the same shape, or None
        Their errors, scaled alike.

    Attributes
    ----------
    lines : ndarray of float64 of shape (n_lines, n_pixels)
        0 where missing.
    weights : ndarray of the same shape, or (1, 1) for equal weights
        1 on the mean of observed entries, 0 where missing.
    square : float
        The weighted sum of squares.
    """

    def __init__(self, X, sigma):
        self.lines = np.ascontiguousarray(X.T, dtype=np.float64)
        missing = np.isnan(self.lines)
        self.weights = np.ones((1, 1))
        if sigma is not None or missing.any():
            self.weights = np.ones_like(self.lines)
            if sigma is not None:
                with np.errstate(invalid="ignore"):
                    self.weights = np.ascontiguousarray(sigma.T, dtype=float) ** -2
            self.weights[missing] = 0
            self.weights *= np.count_nonzero(~missing) / self.weights.sum()
            self.lines[missing] = 0
        self.square = float(np.sum(self.weights * self.lines**2))

    @property
    def complete(self):
        """Whether all entries are there, and of equal weights."""
        return self.weights.shape == (1, 1)


class BlendedMaps(
    LongFit, ClassNamePrefixFeaturesOutMixin, TransformerMixin, SkastroEstimator
):
    """Base class of factorisations of line maps.

    Subclasses say in `_find` how, and end it with `_publish`, which sets `components_`,
    `_scaled_components`, the profiles in the units of the fit, and `_peaks`, the peaks
    of their maps there. Lines that are dark everywhere are not part of the fit.
    """

    _shared_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "clip_negative": ["boolean"],
        "scale_lines": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Find the profiles.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities; NaN is missing. Pixels without any line do not count.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors; or one for all, or one for each line. Infinity means not
            observed.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a line is without data, all pixels are blank, dark or alike, errors are
            not positive, the solver does not take the data, or a range of penalties is
            none.

        Warns
        -----
        UserWarning
            If a line has no positive intensity in any pixel, or there are as many
            components as lines.
        """
        refuse_errors_as_y(self, X, y)
        self._find(self._problem(X, sigma), check_random_state(self.random_state))
        return self

    def _run(self, function, jobs, description):
        """Run a function of many tuples of arguments, and show how far it is."""
        with Progress(self, len(jobs), description, "run") as progress:
            return many(function, jobs, self.n_jobs, progress)

    # -- the data of a fit

    def _problem(self, X, sigma):
        """Validate the data of a fit; return it scaled, without blank pixels."""
        self._with_sigma = sigma is not None
        X, sigma = self._observed(X, sigma, reset=True)
        blank = np.isnan(X).all(axis=1)
        if blank.all():
            raise ValueError("All pixels of X are blank: nothing was observed in any.")
        unseen = np.isnan(X).all(axis=0)
        if unseen.any():
            raise ValueError(
                f"{self._line_names(unseen)} of X were not observed in any pixel; leave"
                " those lines out."
            )
        X = self._clipped(X)
        mean = np.nanmean(X[~blank], axis=0, dtype=np.float64)
        self._lit = mean > 0
        if not self._lit.any():
            raise ValueError(
                "No line of X has a positive intensity in any pixel, so that there is"
                " nothing to factorise."
            )
        seen = X[~blank][:, self._lit]
        if np.array_equal(np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)):
            raise ValueError(
                "X does not vary: all pixels are alike in what is observed, so that"
                " nothing tells components apart."
            )
        if not self._lit.all():
            warn(
                f"{self._line_names(~self._lit)} of X have no positive intensity in any"
                " pixel: they are 0 in all components.",
            )
        if self.n_components >= X.shape[1]:
            warn(
                f"`n_components`={self.n_components} for {X.shape[1]} line(s): a"
                " factorisation with a component for each line is trivial.",
            )
        self.line_scale_ = mean if self.scale_lines else None
        return self._scaled_problem(X, sigma, ~blank)

    def _observed(self, X, sigma, reset):
        """Let intensities and their errors in."""
        least = 2 if reset else 1
        X = validate(self, X, allow_nan=True, reset=reset, ensure_min_samples=least)
        if sigma is None:
            if self._with_sigma:
                raise ValueError(
                    "`sigma` was given to `fit`; give the errors of these pixels too."
                )
            return X, None
        if not self._with_sigma:
            raise ValueError(
                "`sigma` is given, but `fit` had none; give it to both or to neither."
            )
        check_error_names(sigma, getattr(self, "feature_names_in_", None))
        sigma, X = check_errors(sigma, X)
        return X, sigma

    def _clipped(self, X):
        if self.clip_negative:
            return np.maximum(X, 0)
        if np.any(X < 0):
            raise ValueError(
                f"X has {np.count_nonzero(X < 0)} negative value(s), and"
                " `clip_negative` is False."
            )
        return X

    def _scaled_problem(self, X, sigma, pixels):
        """Return some pixels, in lines that are not dark, as solvers take them."""
        scale = 1.0 if self.line_scale_ is None else self.line_scale_[self._lit]
        X = X[pixels][:, self._lit] / scale
        if sigma is not None:
            sigma = sigma[pixels][:, self._lit] / scale
        return Problem(X, sigma)

    def _line_names(self, which):
        names = getattr(self, "feature_names_in_", np.arange(len(which)))
        return "Line(s) " + ", ".join(str(name) for name in np.asarray(names)[which])

    def _penalties(self, problem, alpha_maps, alpha_profiles):
        """Return l1 and l2 of maps and profiles, scaled as scikit-learn's NMF does."""
        n_lines, n_pixels = problem.lines.shape
        maps, profiles = alpha_maps * n_lines, alpha_profiles * n_pixels
        r = self.l1_ratio
        return maps * r, maps * (1 - r), profiles * r, profiles * (1 - r)

    def _publish(self, scaled, maps, loss, penalties):
        """Set the fitted profiles, for maps of unit peak, in the units of the lines."""
        self.reconstruction_err_ = float(np.sqrt(max(loss, 0.0)))
        peaks = maps.max(axis=1)
        peaks = np.where(peaks > 0, peaks, 1.0)
        self._scaled_components, self._peaks = scaled, peaks
        self._map_penalties = penalties[:2]
        self.components_ = self._of_all_lines(scaled * peaks[:, None])

    def _of_all_lines(self, profiles):
        """Return profiles of the fit in the units of the lines, 0 in dark ones."""
        whole = np.zeros((*profiles.shape[:-1], len(self._lit)))
        scale = 1.0 if self.line_scale_ is None else self.line_scale_[self._lit]
        whole[..., self._lit] = profiles * scale
        return whole

    # -- what a fitted factorisation does

    @property
    def _n_features_out(self):
        return len(self.components_)

    def fit_transform(self, X, y=None, sigma=None):
        """Fit, and return the maps of the same pixels.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities; NaN is missing.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors.

        Returns
        -------
        contributions : ndarray of shape (n_pixels, n_components)
            As of `transform`.
        """
        return self.fit(X, y, sigma=sigma).transform(X, sigma=sigma)

    def transform(self, X, sigma=None):
        """Return how much of each component is in each pixel.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities; NaN is missing.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors; needed if `fit` had them. Infinity means not observed.

        Returns
        -------
        contributions : ndarray of shape (n_pixels, n_components)
            In units of the peak of the component's map in training. NaN in pixels
            without any line.

        Raises
        ------
        ValueError
            If X or `sigma` do not fit the data of `fit`.
        """
        check_is_fitted(self)
        X, sigma = self._observed(X, sigma, reset=False)
        seen = ~np.isnan(X[:, self._lit]).all(axis=1)
        maps = np.full((len(X), self._n_features_out), np.nan)
        if seen.any():
            problem = self._scaled_problem(self._clipped(X), sigma, seen)
            V, *_ = refit(
                problem,
                self._scaled_components.copy(),
                self._map_penalties,
                tol=_TRANSFORM_TOL,
            )
            maps[seen] = (V / self._peaks[:, None]).T
        return maps.astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Return the line intensities of maps.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_components)
            Contributions, as `transform` returns; NaN in blank pixels.

        Returns
        -------
        intensities : ndarray of shape (n_pixels, n_lines)

        Raises
        ------
        ValueError
            If the number of components is another.
        """
        check_is_fitted(self)
        X = as_matrix(X, "X")
        if X.shape[1] != len(self.components_):
            raise ValueError(
                f"X must have {len(self.components_)} components in each row, got shape"
                f" {X.shape}."
            )
        return X @ self.components_.astype(X.dtype, copy=False)

    def score(self, X, y=None, sigma=None):
        """Return the share of the variance of the lines that is reconstructed.

        Each line counts in units of its mean if ``scale_lines``, and each entry with
        the inverse of its variance if there is `sigma`. Lines that were dark in the fit
        do not count, since they have no unit. More components always
        reconstruct more: choose their number by
        :func:`~skastro.model_selection.choose_n_components`.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors; needed if `fit` had them. Infinity means not observed.

        Returns
        -------
        score : float
            1 for a perfect reconstruction, 0 for one as good as the mean of each line.
        """
        model = self.inverse_transform(self.transform(X, sigma=sigma))
        X, sigma = self._observed(X, sigma, reset=False)
        scale = 1.0 if self.line_scale_ is None else self.line_scale_[self._lit]
        X, model = X[:, self._lit] / scale, model[:, self._lit] / scale
        seen = ~np.isnan(X)
        weights = seen.astype(np.float64)
        if sigma is not None:
            weights[seen] = (sigma[:, self._lit] / scale)[seen] ** -2.0
        X, model = np.where(seen, X, 0), np.where(seen, model, 0)
        total = weights.sum(axis=0)
        mean = (weights * X).sum(axis=0) / np.where(total > 0, total, 1)
        scatter = np.sum(weights * (X - mean) ** 2)
        if not scatter > 0:
            warn(
                "The score is not defined for pixels that do not differ.",
                UndefinedMetricWarning,
            )
            return np.nan
        return float(1 - np.sum(weights * (X - model) ** 2) / scatter)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
