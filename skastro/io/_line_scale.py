"""Units, beams and efficiencies of a table of lines, as factors to K km/s."""

import re

import numpy as np

from ..utils.warn import warn
from ._integrated import aperture_area, beam_area, factor_to_kelvin, kind_of
from ._line_columns import without_scale
from ._units import parse_unit

#: What names the scale of antennas, in a unit or in a column's name.
_ANTENNA = re.compile(r"T_?\{?A\*|T_?A\b|\^\*|T_?A_?star|TAdv|intTA", re.IGNORECASE)
_MAIN_BEAM = re.compile(r"(?<![A-Za-z])T_?\{?mb", re.IGNORECASE)
#: Beams that differ by less than this, relatively, count as one.
_SAME_BEAM = 0.02
#: Full width in arcsec of a round Gaussian whose solid angle is 1 sr.
_WIDTH = np.degrees(np.sqrt(4 * np.log(2) / np.pi)) * 3600


class Scale:
    """Factors from the intensities of a table to K km/s of the main beam.

    Parameters
    ----------
    cells : Cells
        Of the table.
    beam, solid_angle, source_size, efficiency, redshift : object
        As for :func:`read_line_table`.

    Attributes
    ----------
    units : list of astropy.units.UnitBase
        Of each row's intensity.
    """

    def __init__(self, cells, *, beam, solid_angle, source_size, efficiency, redshift):
        self._cells = cells
        self._redshift = redshift
        self.units, self._scales = zip(*_row_units(cells), strict=True)
        self._efficiency = self._efficiencies(efficiency)
        self._beam = self._areas("beam", beam, beam_area)
        self._aperture = self._areas("solid_angle", solid_angle, aperture_area)
        self._source = None
        if source_size is not None:
            self._source = beam_area(source_size, "source_size")
            if np.ndim(self._source):
                raise ValueError("`source_size` must be one, of the one source.")

    def factors(self, lines, given, units, roles):
        """Return what one of each row's unit is in K km/s.

        Parameters
        ----------
        lines : list of Line
            Of each row.
        given : list of str
            What each row calls it, for messages.
        units : list of astropy.units.UnitBase
            Of each row.
        roles : list of str
            What the column is that has it.

        Returns
        -------
        factors : ndarray of shape (n_lines,)
        """
        from astropy import units as u

        factors, beams = np.empty(len(lines)), []
        for i, line in enumerate(lines):
            beam, aperture = _of_row(self._beam, i), _of_row(self._aperture, i)
            unit, efficiency = units[i], self._efficiency_of(i, units[i], roles[i])
            try:
                factors[i] = factor_to_kelvin(
                    unit,
                    line.frequency * u.GHz,
                    beam=beam,
                    solid_angle=aperture,
                    source=self._source,
                    efficiency=efficiency,
                    redshift=self._redshift,
                )
            except ValueError as error:
                row = self._cells.row(i)
                raise ValueError(f"{row}, {given[i]!r}: {error}") from None
            of_aperture = kind_of(unit)[0] == u.Jy and aperture is not None
            if beam is not None and not of_aperture:
                beams.append(beam)
        if self._source is None and beams:
            _warn_of_beams(min(beams), max(beams))
        return factors

    def _efficiencies(self, given):
        """Return the efficiency of each row, None where none is said."""
        from astropy.units import one

        cells = self._cells
        values = [given] * len(cells)
        if "efficiency" in cells:
            if given is not None:
                raise ValueError(
                    "`efficiency` was given, and `table` has column"
                    f" {cells.name('efficiency')!r}; leave one out, as in"
                    " columns={'efficiency': None}."
                )
            unit = cells.unit("efficiency")
            per_one = 1.0 if unit is None else unit.to(one)
            values = list(cells.numbers("efficiency") * per_one)
        elif given is not None and not any(
            _is_kelvin(unit) and scale != "T_mb"
            for unit, scale in zip(self.units, self._scales, strict=True)
        ):
            raise ValueError(
                "`efficiency` turns T_A* into T_mb, but no row of `table` is a"
                " temperature, or all say that they are T_mb: leave it out."
            )
        return values

    def _efficiency_of(self, i, unit, role):
        """Return by which a row's temperature is divided, or None."""
        cells, value, scale = self._cells, self._efficiency[i], self._scales[i]
        if role != "flux":
            scale = _scale_of(cells.words(role)) or scale
        if not _is_kelvin(unit) or scale == "T_mb":  # or divided already
            return None
        if value is None and scale == "T_A*":
            raise ValueError(
                f"{cells.row(i)} is in T_A*: pass `efficiency`, T_mb = T_A* / eta."
            )
        if value is not None and np.isnan(value):
            raise ValueError(
                f"{cells.row(i)} has no efficiency in column"
                f" {cells.name('efficiency')!r}; it is 1 where a temperature is of the"
                " main beam already."
            )
        return value

    def _areas(self, role, given, area):
        """Return solid angles in sr: one, or of each row, or None."""
        cells = self._cells
        own, name = self._areas_of_columns(role)
        if given is None:
            if own is not None and np.any(own <= 0):
                raise ValueError(
                    f"{cells.row(int(np.argmax(own <= 0)))} has a {role} in {name} that"
                    " is not positive."
                )
            return own
        if own is not None:
            raise ValueError(
                f"`{role}` was given, and `table` has {name}; leave one out, as in"
                f" columns={{{name.split(chr(39))[1]!r}: None}}."
            )
        given = area(given)
        if np.ndim(given) and np.shape(given) != (len(cells),):
            raise ValueError(
                f"`{role}` must be one, or one for each of {len(cells)} rows, got shape"
                f" {np.shape(given)}."
            )
        return given

    def _areas_of_columns(self, role):
        cells = self._cells
        if role in cells:
            unit = cells.unit(role)
            if role == "solid_angle" or (unit is not None and unit.is_equivalent("sr")):
                values = cells.quantities(role, "sr")
            else:
                values = _circle(cells.quantities(role, "arcsec"))
            return values, f"column {cells.name(role)!r}"
        if role == "beam" and "beam_major" in cells:
            major, minor = (
                cells.quantities(f"beam_{axis}", "arcsec")
                for axis in ("major", "minor")
            )
            return _ellipse(major, minor), f"column {cells.name('beam_major')!r}"
        return None, ""


def _is_kelvin(unit):
    from astropy.units import K

    kind = kind_of(unit)
    return kind is not None and kind[0] == K


def _row_units(cells):
    """Return the unit of each row's intensity, and the scale of its temperature."""
    name, own = cells.name("flux"), cells.unit("flux")
    scale = _scale_of(cells.words("flux"))
    if "unit" not in cells:
        if own is None:
            raise ValueError(
                f"Column {name!r} has no unit: pass unit='K km/s', or whatever it is,"
                " or give the table a column of units."
            )
        return [(own, scale)] * len(cells)
    if own is not None:
        raise ValueError(
            f"Column {name!r} is in {own}, and column {cells.name('unit')!r} has units"
            " of each row; leave one out, as in columns={'unit': None}."
        )
    units = []
    for i, cell in enumerate(cells.of("unit")):
        if cell is None:
            raise ValueError(
                f"{cells.row(i)} has no unit in column {cells.name('unit')!r}."
            )
        try:
            unit = parse_unit(without_scale(str(cell)))
        except ValueError as error:
            raise ValueError(
                f"{cells.row(i)} has the unit {cell!r}, {error}."
            ) from error
        units.append((unit, _scale_of(str(cell)) or scale))
    return units


def _scale_of(text):
    """Return the scale of a temperature that a text says, or None."""
    if _ANTENNA.search(text):
        return "T_A*"
    return "T_mb" if _MAIN_BEAM.search(text) else None


def _circle(width):
    return _ellipse(width, width)


def _ellipse(major, minor):
    """Return solid angles of Gaussians of full widths in arcsec; negative of those."""
    return np.where(minor > 0, major, -1) * np.where(major > 0, minor, 1) / _WIDTH**2


def _of_row(values, i):
    """Return the value of a row, or None."""
    if values is None or not np.ndim(values):
        return values
    return None if np.isnan(values[i]) else float(values[i])


def _warn_of_beams(least, most):
    """Warn if intensities are means over different beams."""
    least, most = _WIDTH * np.sqrt([least, most])
    if most > least * (1 + _SAME_BEAM):
        warn(
            f"Beams are {least:.3g} to {most:.3g} arcsec wide, and each intensity is"
            " the mean over its own. Pass `source_size`, to have means over the source,"
            " or an infinite one, numpy.inf * astropy.units.arcsec, if it fills them"
            " all.",
        )
