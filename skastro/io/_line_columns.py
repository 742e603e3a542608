"""Which column of a table of lines says what, by the names that people give them."""

import re
from difflib import get_close_matches

from ..utils.suggestions import closest
from ._units import parse_unit

#: What a column may be, and its names: in lower case, with all but letters and digits
#: left out.
_NAMES = {
    "line": "line lines linename lineid",
    "species": "species specie molecule mol ion",
    "transition": "transition transitions trans qn quantumnumbers jup jupper",
    "frequency": "frequency freq nu restfrequency restfreq restfrq nu0 nurest freqrest"
    " frequencyrest frest f0 freq0",
    "observed_frequency": "observedfrequency frequencyobserved obsfreq freqobs"
    " frequencyobs nuobs fobs skyfreq skyfrequency",
    "wavelength": "wavelength wavelengths lambda wave wl wvl lam lambda0 lambdarest"
    " restwavelength wavelengthrest",
    "flux": "flux intensity i w integratedintensity integratedflux intintensity intflux"
    " fluxint linefluxes lineflux fline sdv sdeltav sdelv tdv tmbdv tadv intt inttmb"
    " intta inttdv inttmbdv inttadv area moment0 mom0 fluxes intensities f fint ico"
    " lineintensity",
    "error": "error err errors sigma uncertainty unc std stddev rms noise e delta",
    "limit": "limit limits upperlimit upperlimits uplim uplims ul limitflag l islimit"
    " isupperlimit upperlimitflag nondetection censored",
    "limit_value": "limitvalue upperlimitvalue limitflux fluxlimit valuelimit",
    "detected": "detected isdetected detection isdetection detect detectionflag",
    "unit": "unit units fluxunit fluxunits intensityunit intensityunits",
    "beam": "beam hpbw thetabeam beamfwhm fwhmbeam beamsize beamwidth thetamb thetab"
    " beamarea beamsolidangle omegabeam omegab",
    "beam_major": "bmaj beammajor beammaj majorbeam",
    "beam_minor": "bmin beamminor beammin minorbeam",
    "solid_angle": "solidangle omega aperturearea omegasource sourcesolidangle",
    "efficiency": "efficiency eta etamb beamefficiency mainbeamefficiency etab",
    "band": "",
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
#: Which go with the column of fluxes, by its name.
_BEFORE = {"error": "e err error sigma d unc u s", "limit": "l ul limit"}
_AFTER = {
    "error": "err error e unc uncertainty sigma rms std errors",
    "limit": "limit ul uplim upperlimit l limitflag",
    "unit": "unit units",
}
#: Units that may end a name, ``freq_GHz``.
_SUFFIXES = {
    **{"hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz", "thz": "THz"},
    **{"arcsec": "arcsec", "arcmin": "arcmin", "mas": "mas", "deg": "deg"},
    **{"um": "um", "micron": "um", "mm": "mm", "kkms": "K km/s", "jykms": "Jy km/s"},
    **{"wm2": "W m-2", "ergscm2": "erg s-1 cm-2", "percent": "%", "pct": "%"},
}
#: The scale of a temperature, beside its unit.
_SCALE = re.compile(r"\(?\s*\bT_?\{?(?:mb\b|A\^?\*|A\b)\}?\s*\)?", re.IGNORECASE)


def without_scale(text):
    """Return the text of a unit without the scale of its temperature, ``(T_mb)``."""
    return _SCALE.sub(" ", text).strip()


def name_and_unit(name):
    """Split a column's name: ``"Flux [Jy km/s]"`` is ``"flux"`` and the unit's text.

    Parameters
    ----------
    name : str
        Of a column.

    Returns
    -------
    name : str
        In lower case, of letters and digits.
    unit : str or None
    """
    unit = None
    square = re.fullmatch(r"([^\[]+)\[(.+)\]\s*", name)
    round_ = re.fullmatch(r"([^(]+)\((.+)\)\s*", name)
    suffix = re.fullmatch(r"(?i)(.+?)[_ ](" + "|".join(_SUFFIXES) + ")", name)
    if square:
        name, unit = square[1], without_scale(square[2])
    elif round_ and _is_unit(without_scale(round_[2])):
        name, unit = round_[1], without_scale(round_[2])
    elif suffix:
        name, unit = suffix[1], _SUFFIXES[suffix[2].lower()]
    name = re.sub(r"\(.*\)", "", name.lower().replace("λ", "lambda"))
    return re.sub("[^a-z0-9]", "", name), unit or None


def _is_unit(text):
    try:
        parse_unit(text)
    except ValueError:
        return False
    return bool(text)


def find_columns(names, columns=None):
    """Tell what each column is.

    Parameters
    ----------
    names : list of str
        Of the columns.
    columns : mapping, default=None
        From what a column may be to its name, or to None if there is none.

    Returns
    -------
    found : dict of str to str
        From what it is to its name.

    Raises
    ------
    ValueError
        If several columns may be one thing, or what is needed is missing.
    """
    found = _given(names, columns or {})
    short = {name: name_and_unit(name)[0] for name in names}
    taken = {name for name in found.values() if name is not None}
    # the flux first: its error and limit are called after it
    for role in ("flux", *(role for role in _NAMES if role != "flux")):
        if role in found:
            continue
        flux = None if found.get("flux") is None else short[found["flux"]]
        own = [
            name for name in names if name not in taken and _is(short[name], role, flux)
        ]
        if len(own) > 1:
            raise ValueError(
                f"`table` has {len(own)} columns that may be the {_said(role)}: {own}."
                f" Say which, columns={{{role!r}: {own[0]!r}}}."
            )
        if own:
            found[role] = own[0]
            taken.add(own[0])
    found = {role: name for role, name in found.items() if name is not None}
    _check_complete(found, names)
    return found


def _given(names, columns):
    """Return the columns that a user names."""
    if not hasattr(columns, "items"):
        raise TypeError(
            "`columns` must be a mapping, such as {'flux': 'W_mb'}, got"
            f" {type(columns).__name__}."
        )
    for role, name in columns.items():
        if role not in _NAMES:
            raise ValueError(
                f"`columns` has {role!r}, which no column can be; they are"
                f" {list(_NAMES)}." + closest(str(role), _NAMES)
            )
        if name is not None and name not in names:
            raise ValueError(
                f"`columns` says that {role!r} is {name!r}, which `table` has not; it"
                f" has {list(names)}." + closest(str(name), names)
            )
    return dict(columns)


def _is(name, role, flux):
    """Whether a column of this name may be this, with fluxes of that name."""
    if _ROLES.get(name) == role:
        return True
    if flux is None:
        return False
    before, after = _BEFORE.get(role, ""), _AFTER.get(role, "")
    return name in {word + flux for word in before.split()} | {
        flux + word for word in after.split()
    }


def _said(role):
    return role.replace("_", " ")


def _check_complete(found, names):
    """Check that the columns that cannot be done without are there."""
    known = f"it has {list(names)}. If it is there by another name, say which, "
    if "flux" not in found:
        raise ValueError(
            "`table` has no column of intensities that is called so (flux, intensity,"
            f" I, W, …); {known}columns={{'flux': …}}." + misspelled(names, "flux")
        )
    if not {"line", "transition", "frequency", "observed_frequency", "wavelength"} & (
        found.keys()
    ):
        raise ValueError(
            "`table` has no column that says which lines they are (line, species and"
            f" transition, frequency, wavelength); {known}columns={{'line': …}}."
            + misspelled(names, "line", "transition", "frequency", "wavelength")
        )
    if ("beam_minor" in found) != ("beam_major" in found):
        there = "beam_minor" if "beam_minor" in found else "beam_major"
        raise ValueError(
            f"`table` has one axis of the beam, {found[there]!r}, and not the other;"
            " give both, or one full width as 'beam'."
        )
    if "beam_major" in found and "beam" in found:
        raise ValueError(
            f"`table` has beams twice, {found['beam']!r} and"
            f" {found['beam_major']!r}: leave one out, columns={{'beam': None}} or"
            " columns={'beam_major': None, 'beam_minor': None}."
        )


def misspelled(names, *roles):
    """Return a sentence with the columns whose names are nearly those of roles."""
    near = {
        role: name
        for role in roles
        for name in names
        if get_close_matches(name_and_unit(name)[0], _NAMES[role].split(), cutoff=0.75)
    }
    if not near:
        return ""
    return (
        " Did you mean "
        + " or ".join(f"columns={{{r!r}: {n!r}}}" for r, n in near.items())
        + "?"
    )


def column_unit(column, name, role, units):
    """Return the unit of a column, from the table, its name or what the user says.

    Parameters
    ----------
    column : astropy.table.Column
        The column.
    name : str
        Its name.
    role : str
        What it is.
    units : mapping
        Units that the user gives, by names of columns or by what they are.

    Returns
    -------
    unit : astropy.units.UnitBase or None

    Raises
    ------
    ValueError
        If a unit is none, or there are two.
    """
    from astropy.units import dimensionless_unscaled

    found = {}
    given = units.get(name, units.get(role))
    if given is not None:
        found["`unit`"] = given
    own = getattr(column, "unit", None)
    if own is not None and str(own).strip() not in ("", "---"):
        found["its unit"] = own
    text = name_and_unit(name)[1]
    if text is not None:
        found["its name"] = text
    parsed = {}
    for where, unit in found.items():
        text = unit if isinstance(unit, str) else unit.to_string()
        try:
            unit = parse_unit(without_scale(text))
        except ValueError as error:
            raise ValueError(
                f"Column {name!r} is in {text!r} by {where}, {error}."
            ) from error
        if unit != dimensionless_unscaled:
            parsed[where] = unit
    if not parsed:
        return None
    (first, unit), *others = parsed.items()
    for where, other in others:
        if other != unit:
            raise ValueError(
                f"Column {name!r} is in {unit} by {first}, and in {other} by {where};"
                " leave one out."
            )
    return unit
