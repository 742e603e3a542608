"""The catalogue of lines: names and frequencies to energies and level indices."""

import math

from ._constants import SPEED_OF_LIGHT
from ._known_molecules import as_molecules
from ._line import lines_of
from ._line_lookup import identity, line_named
from ._shipped import species_named, unknown_species

#: A line found by frequency lies within so much of it, relatively: 30 km/s.
_TOLERANCE = 1e-4


def known_species(species, known):
    """Return the known species that a name means; an error if there is none."""
    found = species_named(species, known) if isinstance(species, str) else None
    if found is None:
        raise ValueError(
            f"Unknown species {species!r}: {unknown_species(species, known)}"
        )
    return found


def line_catalogue(species=None, molecules=None):
    """List the lines that can be modelled.

    Parameters
    ----------
    species : str, default=None
        Keep the lines of one molecule only. Without it all the shipped files are read.
    molecules : mapping, default=None
        Molecules beside the shipped ones: species name to LAMDA file or
        :class:`Molecule`.

    Returns
    -------
    lines : list of Line
        Ordered by molecule, then as in its file.

    Raises
    ------
    ValueError
        If ``species`` is not known; the message says which are, and how to give
        another.

    Examples
    --------
    >>> from skastro.molecular import line_catalogue
    >>> line = line_catalogue("CO")[2]
    >>> line.name, round(line.frequency, 3), round(line.upper_energy, 2)
    ('CO(3-2)', 345.796, 33.19)
    """
    known = as_molecules(molecules)
    chosen = known if species is None else [known_species(species, known)]
    return [line for name in chosen for line in lines_of(known[name], name)]


def find_lines(
    names=None, molecules=None, *, frequency=None, tolerance=None, species=None
):
    """Look lines up by name, or by frequency.

    Parameters
    ----------
    names : sequence of str, default=None
        Such as ``["CO(3-2)", "HCN(4-3)"]``. Spellings that are unmistakable will do as
        well; see the Notes.
    molecules : mapping, default=None
        As for :func:`line_catalogue`.
    frequency : float or Quantity, default=None
        In place of ``names``: rest frequency [GHz], or a quantity in any unit of the
        spectrum, such as a wavelength.
    tolerance : float or Quantity, default=None
        How far lines may lie from ``frequency`` [GHz], or a quantity: of a frequency,
        of a wavelength, or a velocity. By default 30 km/s.
    species : str or sequence of str, default=None
        Look among these only. Only with ``frequency``.

    Returns
    -------
    lines : list of Line or Blend
        In the order of ``names``; by frequency, the closest first, and no blends.

    Raises
    ------
    ValueError
        If a name is unknown, ambiguous or appears twice, or no line is near; the
        message names the closest lines, and says how to give another molecule.

    Notes
    -----
    A name of :func:`line_catalogue` means that line and no other. Failing that, a name
    of an earlier version is accepted, and then one that differs in writing alone:
    ``"CO 3-2"``, ``"CO J=3-2"``, ``"CO(3\N{EN DASH}2)"``, ``"CO(3->2)"`` and
    ``"12CO(3-2)"`` are ``"CO(3-2)"``, ``"SO2 1(1,1)-2(0,2)"`` is
    ``"SO2(1_1_1-2_0_2)"``, ``"CN(1_3/2-0_1/2)"`` is ``"CN(1_1.5-0_0.5)"`` and
    ``"para-NH3(1,1)"`` is ``"p-NH3(1_1_1-1_1_0)"``. Atoms may be written by their
    spectrum and transition or wavelength: ``"[CI] 1-0"``, ``"[CII]158um"``,
    ``"[OI]63"``, ``"O(63um)"``; the wavelength must be right within 1 %. Nothing need
    stand between species and transition, ``"CO3-2"``, and ``o-`` and ``p-`` may be left
    out where one of them alone has the line.
    Case matters: ``"Co"`` is no ``"CO"``. A rare isotope is never taken for the main
    one.

    A name without the quantum number F of a hyperfine file is the :class:`Blend` of
    the components, if they lie within 300 km/s: ``"HCN-hfs(1-0)"``. Any other blend is
    a sum that you name, ``"CN(1_0.5-0_0.5)+CN(1_1.5-0_0.5)"``, of one species.

    Labels of levels are those of the LAMDA file, which for SO and others differ from
    those of other lists of lines: look for the frequency.

    Examples
    --------
    >>> from astropy import units as u
    >>> from skastro.molecular import find_lines
    >>> find_lines(["HCN(4-3)"])[0].frequency
    354.5054773
    >>> [line.name for line in find_lines(["CO J=3-2", "[CI] 1-0", "[CII]158um"])]
    ['CO(3-2)', 'C(1-0)', 'C+(1.5-0.5)']
    >>> [line.name for line in find_lines(frequency=219.949, species="SO")]
    ['SO(5_6-4_5)']
    >>> [line.name for line in find_lines(frequency=157.74 * u.um)]
    ['C+(1.5-0.5)']
    """
    if (names is None) == (frequency is None):
        raise TypeError(
            "Give either names of lines or a `frequency`,"
            f" {'not both' if names is not None else 'such as 345.796'}."
        )
    if frequency is not None:
        return _find_by_frequency(frequency, tolerance, species, molecules)
    if tolerance is not None or species is not None:
        raise TypeError("`tolerance` and `species` are for a search by `frequency`.")
    if isinstance(names, str):
        raise TypeError(f"`lines` must be a sequence of line names, got {names!r}.")
    names = list(names)
    if not names:
        raise ValueError("`lines` is empty; name at least one line, such as 'CO(3-2)'.")
    known = as_molecules(molecules)
    lines = [line_named(name, known) for name in names]
    found = [identity(line) for line in lines]
    repeated = sorted(
        {x.name for x, own in zip(lines, found, strict=True) if found.count(own) > 1}
    )
    if repeated:
        raise ValueError(f"`lines` names {repeated} more than once.")
    return lines


def _in_gigahertz(value, name, relative_to=None):
    """Convert a frequency, or a distance from one, to GHz."""
    from astropy import units as u

    if isinstance(value, u.Quantity) and relative_to is not None:
        if value.unit.is_equivalent(u.km / u.s):
            value = relative_to * value.to_value(u.cm / u.s) / SPEED_OF_LIGHT
        elif value.unit.is_equivalent(u.cm):
            wavelength = (relative_to * u.GHz).to(u.cm, u.spectral())
            value = relative_to * (value / wavelength).to_value("")
    if isinstance(value, u.Quantity):
        try:
            value = value.to_value(u.GHz, u.spectral())
        except u.UnitConversionError as error:
            raise TypeError(
                f"`{name}` has the unit {value.unit}, which says nothing of a"
                f" frequency; give GHz{', km/s' if relative_to else ''} or a"
                " wavelength."
            ) from error
    try:
        value = float(value)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be one number in GHz or a Quantity, got {value!r}; search"
            " for several one by one."
        ) from error
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` must be positive and finite, got {value:g} GHz.")
    return value


def _find_by_frequency(frequency, tolerance, species, molecules):
    """Return the lines near a frequency, the closest first."""
    frequency = _in_gigahertz(frequency, "frequency")
    if tolerance is None:
        tolerance = _TOLERANCE * frequency
    else:
        tolerance = _in_gigahertz(tolerance, "tolerance", frequency)
    known = as_molecules(molecules)
    if species is None:
        species = list(known)
    elif isinstance(species, str):
        species = [species]
    chosen = dict.fromkeys(known_species(name, known) for name in species)
    lines = [line for name in chosen for line in lines_of(known[name], name)]
    lines.sort(key=lambda line: abs(line.frequency - frequency))
    found = [line for line in lines if abs(line.frequency - frequency) <= tolerance]
    if not found:
        nearest = ", ".join(
            f"{line.name!r} at {line.frequency:.9g} GHz" for line in lines[:3]
        )
        raise ValueError(
            f"No line lies within {tolerance:.3g} GHz of {frequency:.9g} GHz; the"
            f" nearest are {nearest}. Widen `tolerance`, or give the molecule's LAMDA"
            " file through `molecules`."
        )
    return found
