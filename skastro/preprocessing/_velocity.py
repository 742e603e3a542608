"""Spectra at rest."""

import numbers

import numpy as np
from sklearn.utils.metaestimators import available_if

from ..utils.arrays import plain
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ..utils.warn import warn
from ._interpolation import interpolate
from ._linear import ERRORS
from ._spectra import SpectrumTransformer, stretches
from ._velocity_measurement import measure

#: The speed of light [km/s].
LIGHT = 299_792.458


class VelocityShifter(SpectrumTransformer):
    r"""Shifts spectra to rest, by velocities that are given or measured.

    A star that recedes at the velocity v shows its lines at
    :math:`\lambda = \lambda_0 \sqrt{(1 + v/c) / (1 - v/c)}`. The value at rest of each
    pixel is interpolated, with six neighbours on the grid of logarithmic wavelengths,
    so that the grid stays what it was. Nothing is interpolated across a gap or a
    missing pixel.

    Velocities are those given to `transform`; or the last column of X, with
    ``velocity="column"``; or, with ``velocity="measured"``, that of the highest
    likelihood of each spectrum, as a template with a free offset and amplitude: the
    peak of the cross-correlation that knows the errors.

    Parameters
    ----------
    wavelength : array-like of shape (n_pixels,) or float, default=1.0
        Vacuum wavelengths [Angstrom]; or the step of a logarithmic grid [km/s].
    velocity : {"given", "column", "measured"}, default="given"
        Where velocities come from. A ``"column"`` is the last of X, beside the spectra,
        as `append_conditions` puts it there, and is taken off.
    template : {"mean"} or array-like of shape (n_pixels,), default="mean"
        What velocities are measured with: a spectrum at rest on the same wavelengths.
        By default the mean of the training spectra, to whose velocity, that of none in
        particular, others are shifted then.
    max_velocity : float, default=500.0
        Velocities are sought between plus and minus this [km/s].
    errors : {"effective", "marginal"}, default="effective"
        What is returned of the covariance of the result: errors as if pixels were
        independent, which make means right, or marginal ones; see `SpectrumResampler`.
    with_sigma : bool, default=False
        Whether `transform` appends the errors.

    Attributes
    ----------
    template_ : ndarray of shape (n_pixels,)
        The template, if velocities are measured.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    Notes
    -----
    Flux is carried as it is, and not corrected for the Doppler boost, which a
    normalised spectrum does not have. Errors are those of interpolated pixels, from
    pixels that are independent; the error of the velocity itself is not in them.
    That of a measured velocity counts the noise, and what a template unlike the star
    leaves of lines, as if these were independent of each other.
    Wavelengths in air are right to a few m/s for 100 km/s.

    References
    ----------
    .. [1] Zucker 2003, MNRAS 342, 1291: the likelihood of a cross-correlation.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.preprocessing import VelocityShifter
    >>> wavelength = np.geomspace(5000, 5100, 1500)
    >>> def line(centre):
    ...     return 1 - 0.5 * np.exp(-0.5 * ((wavelength - centre) / 0.3) ** 2)
    >>> shifter = VelocityShifter(wavelength).fit(line(5051)[None])
    >>> at_rest = shifter.transform(line(5051)[None], velocity=[59.36])
    >>> float(wavelength[np.nanargmin(at_rest)].round(1))
    5050.0
    >>> shifter = VelocityShifter(
    ...     wavelength, velocity="measured", template=line(5050)
    ... ).fit(line(5051)[None])
    >>> shifter.measure(line(5051)[None], sigma=0.01)[0].round(1)
    array([59.4])
    """

    _parameter_constraints = {
        "wavelength": [Interval(numbers.Real, 0, None, closed="neither"), "array-like"],
        "velocity": [StrOptions({"given", "column", "measured"})],
        "template": [StrOptions({"mean"}), "array-like"],
        "max_velocity": [Interval(numbers.Real, 0, LIGHT, closed="neither")],
        "errors": [ERRORS],
        "with_sigma": ["boolean"],
    }

    def __init__(
        self,
        wavelength=1.0,
        *,
        velocity="given",
        template="mean",
        max_velocity=500.0,
        errors="effective",
        with_sigma=False,
    ):
        self.wavelength = wavelength
        self.velocity = velocity
        self.template = template
        self.max_velocity = max_velocity
        self.errors = errors
        self.with_sigma = with_sigma

    @property
    def _n_beside(self):
        return int(self.velocity == "column")

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Take the template, or the mean of the spectra for it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; with their errors beside them, of twice as many
            columns, as steps ``with_sigma=True`` give them; and with velocities in a
            last column, if they are there.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel.

        Returns
        -------
        self : VelocityShifter
            Fitted estimator.

        Raises
        ------
        ValueError
            If X has another number of columns than `wavelength`, or the template.
        """
        flux, sigma = self._admit(X, y, sigma)
        if np.any(self._wavelength <= 0):
            raise ValueError(
                f"`wavelength` must be positive, got {self._wavelength.min():g}."
            )
        self._log = np.log(self._wavelength)
        self._joined = np.zeros(len(self._log), dtype=bool)
        for part in stretches(self._wavelength):
            self._joined[part.start : part.stop - 1] = True
        if self.velocity == "measured":
            self.template_ = self._find_template(flux)
        return self

    def fit_transform(self, X, y=None, sigma=None, velocity=None):
        """Fit, and shift the same spectra.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, as in `fit`.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors.
        velocity : array-like of shape (n_samples,), default=None
            Velocities [km/s], as in `transform`.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_columns)
            See `transform`.
        """
        return self.fit(X, y, sigma=sigma).transform(X, sigma=sigma, velocity=velocity)

    def transform(self, X, sigma=None, velocity=None):
        """Shift spectra to rest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; or with their errors beside them.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel. Infinity means not
            observed.
        velocity : array-like of shape (n_samples,), default=None
            Velocities [km/s], positive where a star recedes, with
            ``velocity="given"``; one serves for all. NaN where unknown, of which
            nothing is known at rest then.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_columns)
            Spectra, NaN where nothing is known. If `with_sigma`, followed by as many
            columns with their errors.

        Raises
        ------
        ValueError
            If velocities are missing, or given where they come from elsewhere.
        """
        flux, sigma = self._spectra(X, sigma)
        velocity = self._velocities(X, flux, sigma, velocity)
        return self._out(*self._shifted(flux, sigma, velocity))

    @available_if(lambda self: self.velocity == "given")
    def inverse_transform(self, X, velocity=None):
        """Shift spectra from rest to given velocities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra at rest; or with their errors beside them.
        velocity : array-like of shape (n_samples,)
            Velocities [km/s].

        Returns
        -------
        X_original : ndarray of the shape of X
            But for pixels that were shifted out of the grid and rounding of the
            interpolation, what was transformed.
        """
        X, p = np.asarray(plain(X, "X")), len(self._wavelength)
        if X.ndim != 2 or X.shape[1] not in (p, 2 * p):
            raise ValueError(f"X must have {p} or {2 * p} columns, got {X.shape}.")
        sigma = np.nan_to_num(X[:, p:], nan=1.0) if X.shape[1] > p else None
        flux, sigma = self._shifted(
            X[:, :p], sigma, -self._checked(velocity, len(X), "given")
        )
        return flux if sigma is None else np.hstack([flux, sigma])

    def measure(self, X, sigma=None):
        """Return the velocities of spectra, and their errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, normalised as the template is; NaN where missing.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; by default all alike, and as large as what the template
            leaves.

        Returns
        -------
        velocity : ndarray of shape (n_samples,)
            [km/s]; NaN where there is no peak of the likelihood within
            `max_velocity`.
        velocity_sigma : ndarray of shape (n_samples,)
            1-sigma errors [km/s], by the curvature of the peak, and what the template
            leaves of lines where that is more.

        Raises
        ------
        ValueError
            If velocities are not measured, for want of a template.
        """
        flux, sigma = self._spectra(X, sigma)
        if self.velocity != "measured":
            raise ValueError(
                f"velocity={self.velocity!r} has no template to measure velocities"
                " with; say velocity='measured'."
            )
        return measure(
            flux, sigma, self._log, self._joined, self.template_, self.max_velocity
        )

    def _default_wavelength(self, n, step):
        return np.exp(np.arange(n) * (step / LIGHT))

    def _find_template(self, flux):
        if not isinstance(self.template, str):
            template = np.asarray(plain(self.template, "template"), dtype=np.float64)
            if template.shape != self._log.shape or np.isnan(template).all():
                raise ValueError(
                    f"`template` must have the {len(self._log)} pixels of the spectra,"
                    f" not all of them missing, got shape {template.shape}."
                )
            return template
        seen = ~np.isnan(flux)
        total = np.where(seen, flux, 0.0).sum(axis=0, dtype=np.float64)
        n = seen.sum(axis=0)
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)

    def _velocities(self, X, flux, sigma, velocity):
        if velocity is not None and self.velocity != "given":
            raise ValueError(
                f"`velocity` is given to transform, and velocity={self.velocity!r}"
                " takes it from elsewhere."
            )
        if self.velocity == "measured":
            found, _ = measure(
                flux, sigma, self._log, self._joined, self.template_, self.max_velocity
            )
            lost = np.count_nonzero(np.isnan(found))
            if lost:
                warn(
                    f"{lost} of {len(found)} spectra have no velocity within"
                    f" max_velocity={self.max_velocity:g} km/s, and become NaN."
                )
            return found
        if self.velocity == "column":
            velocity = np.asarray(plain(X, "X"), dtype=np.float64)[:, -1]
        return self._checked(velocity, len(flux), self.velocity)

    @staticmethod
    def _checked(velocity, n, source):
        if velocity is None:
            raise ValueError(
                "`velocity` is needed with velocity='given': one of each spectrum"
                " [km/s]; or say velocity='measured'."
            )
        velocity = np.asarray(plain(velocity, "velocity", unit="km/s"), dtype=float)
        if velocity.shape not in ((), (n,), (n, 1)):
            raise ValueError(
                f"`velocity` must have one value for each of the {n} spectra, got shape"
                f" {velocity.shape}."
            )
        velocity = np.broadcast_to(velocity.reshape(-1), n)
        if np.any(np.abs(velocity) >= LIGHT):
            raise ValueError(
                f"`velocity` must be in km/s and below that of light, got"
                f" {velocity[np.argmax(np.abs(velocity))]:g}."
            )
        return velocity

    def _shifted(self, flux, sigma, velocity):
        """Return spectra and errors of sources with these velocities, at rest."""
        values, errors = (np.full(flux.shape, np.nan, flux.dtype) for _ in range(2))
        row_values, row_errors = np.empty(flux.shape[1]), np.empty(flux.shape[1])
        one = np.ones(flux.shape[1])
        effective = self.errors == "effective"
        for row, shift in enumerate(np.arctanh(velocity / LIGHT)):
            if np.isnan(shift):
                continue
            interpolate(
                flux[row].astype(np.float64),
                one if sigma is None else sigma[row].astype(np.float64),
                self._log,
                self._joined,
                self._log + shift,
                effective,
                row_values,
                row_errors,
            )
            values[row], errors[row] = row_values, row_errors
        return values, None if sigma is None else errors
