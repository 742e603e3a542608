"""Units as headers and tables spell them."""

import re

#: Units that AIPS writes in upper case, where astropy's spelling is another.
_UPPER = {
    **{"JY": "Jy", "BEAM": "beam", "KELVIN": "K", "SR": "sr", "ERG": "erg"},
    **{"KM": "km", "CM": "cm", "M": "m", "S": "s"},
    **{"HZ": "Hz", "KHZ": "kHz", "MHZ": "MHz", "GHZ": "GHz"},
    **{"ARCSEC": "arcsec", "ARCMIN": "arcmin", "DEG": "deg"},
}
#: What the same signs look like in print.
_PRINTED = str.maketrans({"·": " ", "⋅": " ", "−": "-", "–": "-", "{": "", "}": ""})


def parse_unit(text):
    """Return the unit that a text stands for.

    Upper case is AIPS', in which M is the metre and S the second. A slash divides by
    the one unit that follows it, as CASA means ``Jy/beam.km/s``.

    Parameters
    ----------
    text : str
        Such as ``"JY/BEAM*KM/S"``, ``"10-18W/m2"`` or ``"K km s^-1"``.

    Returns
    -------
    unit : astropy.units.UnitBase

    Raises
    ------
    ValueError
        If it is no unit, or may be one of two.
    """
    from astropy.units import Unit, UnitBase

    plain = str(text).translate(_PRINTED).strip()
    if not re.search("[a-z]", plain):
        if re.search(r"\bMJY\b", plain):
            raise ValueError(
                "which may be mJy or MJy: in upper case there is no telling. Write the"
                " one that is meant"
            )
        plain = re.sub("[A-Z]+", lambda m: _UPPER.get(m[0], m[0]), plain)
    plain = re.sub(r"\bJY\b", "Jy", re.sub(r"\bBEAM\b", "beam", plain))
    plain = re.sub(r"\bergs\b", "erg", plain)
    plain = re.sub(
        r"/\s*([A-Za-z]+)(?:\^|\*\*)?(\d*)", lambda m: f" {m[1]}-{m[2] or 1} ", plain
    )
    plain = re.sub(r"(?<=\w)\s*\.\s*(?=[A-Za-z])", " ", plain)
    try:
        unit = Unit(plain)
    except (ValueError, TypeError) as error:
        raise ValueError("which is no unit that astropy knows") from error
    if not isinstance(unit, UnitBase):
        raise ValueError("which is logarithmic: give the numbers themselves")
    return unit
