"""What the transformers of spectra share: their door, errors that travel, names."""

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import plain, refuse_errors_as_y, validate
from ..utils.estimator import SkastroEstimator
from ..utils.sigma import check_error_names, check_errors
from ..utils.sklearn_names import _check_feature_names_in


class SpectrumTransformer(TransformerMixin, SkastroEstimator):
    """A step of the front end: spectra and their errors in, and out.

    A subclass has the parameters `wavelength` and `with_sigma`, a method `fit` that
    calls ``_admit``, and the method ``_transformed(flux, sigma)``, which returns both
    in the precision of the spectra; ``sigma`` is None if there are no errors.
    """

    #: Columns of X beside the spectra.
    _n_beside = 0

    def fit_transform(self, X, y=None, sigma=None):
        """Fit, and transform the same spectra.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, as in `fit`.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_columns)
            See `transform`.
        """
        return self.fit(X, y, sigma=sigma).transform(X, sigma=sigma)

    def transform(self, X, sigma=None):
        """Transform spectra.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; or with their errors beside them.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel. Infinity means not
            observed.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_columns)
            Spectra, NaN where nothing is known. If `with_sigma`, followed by as many
            columns with their errors.
        """
        return self._out(*self._transformed(*self._spectra(X, sigma)))

    # -- the door

    def _admit(self, X, y=None, sigma=None):
        """Let the spectra of a fit in; return them and their errors."""
        refuse_errors_as_y(self, X, y)
        X = validate(self, X, allow_nan=True)
        wavelength = plain(self.wavelength, "wavelength", unit="Angstrom")
        n = X.shape[1] - self._n_beside
        if wavelength is None or np.ndim(wavelength) == 0:
            wavelength = self._default_wavelength(max(n, 0), wavelength)
        wavelength = np.asarray(wavelength, dtype=np.float64)
        increasing("wavelength", wavelength)
        if n not in (len(wavelength), 2 * len(wavelength)):
            raise ValueError(
                f"X has n_features={X.shape[1]} columns, which are not the"
                f" {len(wavelength)} of `wavelength`"
                + (f" and {self._n_beside} beside" if self._n_beside else "")
                + ", nor twice as many, with errors."
            )
        self._wavelength = wavelength
        self._packed = n == 2 * len(wavelength)
        return self._split(X, sigma)

    def _spectra(self, X, sigma):
        """Let spectra in after the fit; return them and their errors."""
        check_is_fitted(self)
        return self._split(validate(self, X, allow_nan=True, reset=False), sigma)

    def _split(self, X, sigma):
        p = len(self._wavelength)
        flux = X[:, :p]
        if self._packed:
            if sigma is not None:
                raise ValueError(
                    "`sigma` is given, and X has errors beside the spectra too; request"
                    " `sigma` in the first step of a pipeline only."
                )
            sigma = np.where(np.isnan(flux), 1, X[:, p : 2 * p])
        if sigma is not None:
            if self._n_beside and np.shape(sigma) == X.shape:
                sigma = np.asarray(plain(sigma, "sigma"))[:, :p]
            names = getattr(self, "feature_names_in_", None)
            check_error_names(sigma, None if names is None else names[:p])
            sigma, flux = check_errors(sigma, flux)
        elif self.with_sigma:
            raise ValueError(
                "with_sigma=True needs errors, and `sigma` is None: give `sigma` to fit"
                " and transform, or let the step before have with_sigma=True."
            )
        return flux, sigma

    def _default_wavelength(self, n, step):
        """Return the coordinates of pixels without wavelengths: their numbers."""
        if step is not None:
            raise ValueError(
                f"`wavelength` must have one value for each pixel, got {step!r}."
            )
        return np.arange(n, dtype=np.float64)

    def _out(self, flux, sigma):
        """Return spectra, with their errors if asked."""
        if not self.with_sigma:
            return flux
        return np.hstack([flux, np.where(np.isnan(flux), np.nan, sigma)])

    # -- names

    def _names_out(self, names):
        """Return names of the spectra's columns, from those of the input's."""
        return names[: len(self._wavelength)]

    @property
    def _n_features_out(self):
        names = np.empty(self.n_features_in_, dtype=object)
        return (1 + self.with_sigma) * len(self._names_out(names))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X; by default those of the fit.

        Returns
        -------
        names : ndarray of str
            If `with_sigma`, those of the errors are ``sigma_`` and the pixel's name.
        """
        check_is_fitted(self, "n_features_in_")
        names = self._names_out(_check_feature_names_in(self, input_features))
        if self.with_sigma:
            names = np.r_[names, [f"sigma_{name}" for name in names]]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def increasing(name, wavelength):
    """Refuse wavelengths that do not increase, or are not finite.

    Parameters
    ----------
    name : str
        The parameter's name.
    wavelength : ndarray
        Wavelengths.

    Raises
    ------
    ValueError
        If they are of two dimensions, or do not increase.
    """
    if wavelength.ndim != 1 or not np.isfinite(wavelength).all():
        raise ValueError(
            f"`{name}` must have one finite value for each pixel, got shape"
            f" {wavelength.shape}."
        )
    if np.any(np.diff(wavelength) <= 0):
        i = int(np.argmax(np.diff(wavelength) <= 0))
        raise ValueError(
            f"`{name}` must increase, got {wavelength[i]:.10g} and then"
            f" {wavelength[i + 1]:.10g} at pixel {i + 1}; sort the pixels."
        )


def stretches(wavelength, gap=5.0):
    """Return the stretches between gaps in wavelength, as slices.

    Parameters
    ----------
    wavelength : ndarray of shape (n_pixels,)
        Wavelengths that increase.
    gap : float, default=5.0
        A step of more than so many of the median step is a gap.

    Returns
    -------
    stretches : list of slice
    """
    if len(wavelength) < 3:
        return [slice(0, len(wavelength))]
    steps = np.diff(np.log(wavelength)) if wavelength[0] > 0 else np.diff(wavelength)
    edges = [0, *(np.flatnonzero(steps > gap * np.median(steps)) + 1), len(wavelength)]
    return [slice(int(a), int(b)) for a, b in zip(edges, edges[1:], strict=False)]
