"""Intensities of lines in K km/s, whatever they are measured in."""

import math

import numpy as np

#: Area of a Gaussian of unit full widths at half maximum.
_GAUSSIAN_AREA = math.pi / (4 * math.log(2))


def to_integrated_temperature(
    intensity,
    frequency,
    *,
    beam=None,
    solid_angle=None,
    source_size=None,
    efficiency=None,
    redshift=0.0,
):
    r"""Convert the intensity of a line to a main-beam temperature, over velocity.

    Parameters
    ----------
    intensity : Quantity
        Integrated over the line: a temperature (K km/s), a flux density for each beam
        or steradian or of a whole (Jy km/s), or a flux (W m^-2, erg s^-1 cm^-2), also
        for each beam or steradian. Over frequency (K Hz) as well as over velocity.
        Errors convert as intensities do.
    frequency : Quantity
        Rest frequency of the line, or its wavelength.
    beam : Quantity, pair of Quantity or radio_beam.Beam, default=None
        Full width at half maximum of the telescope's beam, or those of its major and
        minor axis, or its solid angle. A flux is taken to be what the beam holds,
        and the result is the mean over the beam.
    solid_angle : Quantity, default=None
        Solid angle that a flux was summed over, such as an aperture or a whole source.
        The result is the mean over that. It has no part in what is given as a
        temperature, for each beam or for each steradian.
    source_size : Quantity, default=None
        Full width at half maximum of a Gaussian source, smaller or larger than the
        beam: the result is then the mean over the source, that over the beam times
        :math:`1 + \Omega_{beam} / \Omega_{source}`. An infinite one changes nothing.
    efficiency : float, default=None
        By which a temperature is divided, :math:`T_{mb} = T_A^* / \eta`. Without it,
        temperatures are taken to be of the main beam.
    redshift : float, default=0.0
        Of the source. Intensities are as observed, and the result is as emitted, of
        which each temperature is :math:`1 + z` of the observed one.

    Returns
    -------
    intensity : Quantity
        In K km/s, of the shape that all that was given broadcasts to.

    Raises
    ------
    TypeError
        If what needs a unit has none, or another.
    ValueError
        If the unit is not that of an integrated intensity, if a flux comes without the
        solid angle that it needs, or a value is not possible.

    See Also
    --------
    read_line_table : Converts a whole table.

    Notes
    -----
    Temperatures are those of the Rayleigh-Jeans law, as those of a forward model are:

    .. math:: \int T\, dv = \frac{c^2}{2 k \nu^2 \Omega} \int S\, dv
              = \frac{c^3}{2 k \nu^3 \Omega} F.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skastro.io import to_integrated_temperature
    >>> line = 345.796 * u.GHz
    >>> to_integrated_temperature(100 * u.Jy * u.km / u.s, line, beam=14 * u.arcsec)
    <Quantity 5.21... K km / s>
    >>> to_integrated_temperature(1e-9 * u.W / u.m**2 / u.sr, 1900.537 * u.GHz)
    <Quantity 0.14... K km / s>
    """
    from astropy import units as u

    unit = getattr(intensity, "unit", None)
    if not isinstance(unit, u.UnitBase):
        raise TypeError(
            "`intensity` must be a linear Quantity, such as 3 * u.Jy * u.km / u.s, got"
            f" {intensity!r}."
        )
    if not redshift > -1:
        raise ValueError(f"`redshift` must be above -1, got {redshift!r}.")
    rest = _quantity(frequency, "frequency", u.GHz, u.spectral())
    factor = factor_to_kelvin(
        unit,
        rest,
        beam=None if beam is None else beam_area(beam),
        solid_angle=aperture_area(solid_angle),
        source=None if source_size is None else beam_area(source_size, "source_size"),
        efficiency=efficiency,
        redshift=redshift,
    )
    return u.Quantity(intensity).value * factor * (u.K * u.km / u.s)


def factor_to_kelvin(
    unit,
    frequency,
    *,
    beam=None,
    solid_angle=None,
    source=None,
    efficiency=None,
    redshift=0.0,
):
    """Return what one of a unit is in K km/s; areas are bare, in sr."""
    from astropy import units as u

    kind = kind_of(unit)
    if kind is None or kind[1] == u.one:
        hint = (
            "It is not integrated over the line: multiply it by the width, or take the"
            " integral. "
            if kind is not None
            else ""
        )
        raise ValueError(
            f"`intensity` is in {unit}, which is no intensity of a line, such as K"
            f" km/s, Jy km/s, Jy km/s per beam, W m-2 or W m-2 sr-1. {hint}".rstrip()
        )
    if efficiency is not None:
        if kind[0] != u.K:
            raise ValueError(
                "`efficiency` turns T_A* into T_mb, but `intensity` is in"
                f" {unit}: leave it out."
            )
        wrong = ~((np.asarray(efficiency) > 0) & (np.asarray(efficiency) <= 1))
        if np.any(wrong):
            raise ValueError(
                f"`efficiency` must lie in (0, 1], got"
                f" {np.asarray(efficiency)[wrong].ravel()[0]}."
            )
    over_beam = kind[0] != u.Jy or solid_angle is None
    area = _solid_angle(unit, kind[0], beam, solid_angle)
    observed = frequency / (1 + redshift)
    target = u.K * u.km / u.s
    factor = conversion_factor(unit, target, frequency=lambda: observed, area=area)
    factor = factor * (1 + redshift) / (1.0 if efficiency is None else efficiency)
    if source is None or np.all(np.isinf(source)):
        return factor
    if not over_beam:
        raise ValueError(
            "`source_size` and `solid_angle` were both given: over a solid angle that a"
            " flux was summed over, its mean is known. Leave one out."
        )
    if kind[0] == u.Jy / u.sr and beam is None:
        return factor  # of the sky itself
    if beam is None:
        raise ValueError(
            "`source_size` needs `beam`, of which the source fills a part, or more."
        )
    return factor * (1 + beam / source)


def _solid_angle(unit, base, beam, solid_angle):
    """Return the solid angle that an intensity is divided by, in sr, or None."""
    from astropy import units as u

    if base == u.Jy / u.beam:
        if beam is None:
            raise ValueError(f"`intensity` is in {unit}, which needs `beam`.")
        return beam
    if base == u.Jy:
        if beam is None and solid_angle is None:
            raise ValueError(
                f"`intensity` is in {unit}, a flux, which needs the solid angle that it"
                " comes from: `beam`, if it is what the telescope's beam holds, or"
                " `solid_angle`, if it was summed over an aperture or a source."
            )
        return beam if solid_angle is None else solid_angle
    return None


# -- kinds of intensities


def kind_of(unit):
    """Return what a unit is one of: K, Jy/sr, Jy/beam or Jy, and over what width.

    Parameters
    ----------
    unit : astropy.units.UnitBase
        Any.

    Returns
    -------
    kind : tuple of astropy.units.UnitBase or None
        The brightness; and 1, km/s or Hz.
    """
    from astropy import units as u

    for base in (u.K, u.Jy / u.sr, u.Jy / u.beam, u.Jy):
        for width in (u.one, u.km / u.s, u.Hz):
            if unit.is_equivalent(base * width):
                return base, width
    return None


def conversion_factor(unit, target, *, frequency, area=None, target_area=None):
    """Return what one of a unit is in another, by frequency and solid angle.

    Parameters
    ----------
    unit, target : astropy.units.UnitBase
        Two units, of brightness or of anything.
    frequency : callable
        Returns the frequency of the line, if that is needed.
    area, target_area : float, default=None
        Solid angles of the beam, or of the flux, of either [sr].

    Returns
    -------
    factor : float or ndarray

    Raises
    ------
    astropy.units.UnitConversionError
        If there is none.
    """
    from astropy import constants
    from astropy import units as u

    own, wanted = kind_of(unit), kind_of(target)
    if own is None or wanted is None or (own == wanted and area is None):
        return unit.to(target)
    (base, width), (target_base, target_width) = own, wanted
    per_sr = u.Jy / u.sr
    factor = unit.to(base * width)
    if base in (u.Jy / u.beam, u.Jy):
        factor, base = factor / area, per_sr
    if target_base in (u.Jy / u.beam, u.Jy):
        factor, target_base = factor * target_area, per_sr
    if base != target_base:
        law = u.brightness_temperature(frequency())
        factor = factor * base.to(target_base, 1.0, law)
    if u.one in (width, target_width) and width != target_width:
        raise u.UnitConversionError(
            f"{unit} and {target}: one is integrated over the line and one is not"
        )
    if width != target_width:
        # the width of a channel is positive in either
        per_hertz = (constants.c / frequency()).to_value("km / (s Hz)")
        factor = factor * (per_hertz if width == u.Hz else 1 / per_hertz)
    return factor * (wanted[0] * target_width).to(target)


# -- solid angles


def beam_area(beam, name="beam"):
    """Return the solid angle of a Gaussian beam in sr.

    Parameters
    ----------
    beam : Quantity, pair of Quantity or radio_beam.Beam
        Its full width, or two, or its solid angle.
    name : str, default="beam"
        Of the parameter.

    Returns
    -------
    area : float or ndarray

    Raises
    ------
    TypeError
        If it is no angle.
    ValueError
        If it is not positive.
    """
    from astropy import units as u

    if hasattr(beam, "major") and hasattr(beam, "sr"):
        return _positive(beam.sr.to_value("sr"), beam, name)
    axes = beam if isinstance(beam, (tuple, list)) else (beam,)
    if len(axes) not in (1, 2):
        raise TypeError(
            f"`{name}` must be one full width or a pair, major and minor, got {beam!r}."
        )
    unit = getattr(axes[0], "unit", None)
    if len(axes) == 1 and unit is not None and unit.is_equivalent(u.sr):
        return _positive(u.Quantity(beam).to_value("sr"), beam, name)
    widths = [
        _positive(_quantity(axis, name, u.arcsec).to_value("rad"), axis, name)
        for axis in axes
    ]
    return _GAUSSIAN_AREA * widths[0] * widths[-1]


def aperture_area(solid_angle, name="solid_angle"):
    """Return a solid angle in sr, or None if there is none.

    Parameters
    ----------
    solid_angle : Quantity or None
        A solid angle.
    name : str, default="solid_angle"
        Of the parameter.

    Returns
    -------
    area : float, ndarray or None
    """
    from astropy import units as u

    if solid_angle is None:
        return None
    area = _quantity(solid_angle, name, u.sr).value
    return _positive(area, solid_angle, name)


def _positive(values, given, name):
    if not np.all(np.asarray(values) > 0):
        raise ValueError(f"`{name}` must be positive, got {given}.")
    return values


def _quantity(value, name, unit, equivalencies=()):
    """Return a Quantity in a unit; what has none, or another, is refused by name."""
    from astropy import units as u

    if getattr(value, "unit", None) is None:
        raise TypeError(f"`{name}` must be a Quantity, in {unit} or so, got {value!r}.")
    try:
        return u.Quantity(value).to(unit, equivalencies)
    except u.UnitConversionError as error:
        raise TypeError(
            f"`{name}` carries the unit {value.unit}, which does not convert to {unit}."
        ) from error
