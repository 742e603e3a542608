"""Wavelengths in air and in vacuum."""

import numpy as np

from ..utils.arrays import plain

#: Below this wavelength [Angstrom] the index of air is not known so.
_SHORTEST = 2000.0


def _index(vacuum):
    """Return the refractive index of standard air at vacuum wavelengths [Angstrom]."""
    wavenumber2 = (1e4 / vacuum) ** 2
    return (
        1 + 0.05792105 / (238.0185 - wavenumber2) + 0.00167917 / (57.362 - wavenumber2)
    )


def _checked(wavelength):
    wavelength = np.asarray(plain(wavelength, "wavelength", unit="Angstrom"), float)
    if np.any(wavelength < _SHORTEST):
        raise ValueError(
            f"`wavelength` must be at least {_SHORTEST:g} Angstrom, where air is"
            f" transparent, got {np.nanmin(wavelength):g}."
        )
    return wavelength


def vacuum_to_air(wavelength):
    """Return the wavelengths in air of vacuum wavelengths.

    Parameters
    ----------
    wavelength : array-like
        Vacuum wavelengths [Angstrom], of at least 2000; a ``Quantity`` is converted.

    Returns
    -------
    wavelength : ndarray
        In dry air at 15 C and 1 atm with 450 ppm of CO2 [Angstrom].

    Raises
    ------
    ValueError
        If a wavelength is below 2000 Angstrom.

    References
    ----------
    Ciddor 1996, Appl. Opt. 35, 1566.

    Examples
    --------
    >>> from skastro.preprocessing import vacuum_to_air
    >>> vacuum_to_air([6564.614]).round(3)
    array([6562.801])
    """
    wavelength = _checked(wavelength)
    return wavelength / _index(wavelength)


def air_to_vacuum(wavelength):
    """Return the vacuum wavelengths of wavelengths in air.

    The inverse of `vacuum_to_air`, to rounding.

    Parameters
    ----------
    wavelength : array-like
        In standard air [Angstrom], of at least 2000; a ``Quantity`` is converted.

    Returns
    -------
    wavelength : ndarray
        Vacuum wavelengths [Angstrom].

    Raises
    ------
    ValueError
        If a wavelength is below 2000 Angstrom.

    References
    ----------
    Ciddor 1996, Appl. Opt. 35, 1566.

    Examples
    --------
    >>> from skastro.preprocessing import air_to_vacuum
    >>> air_to_vacuum([5889.951]).round(3)
    array([5891.583])
    """
    air = _checked(wavelength)
    vacuum = air
    for _ in range(5):  # each is closer by a factor of 1e-6
        vacuum = air * _index(vacuum)
    return vacuum
