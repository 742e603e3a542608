"""Beams of images: of a header, of a table of beams, or of a history."""

import re

import numpy as np

#: Beams of planes that agree within this, relatively, are one.
_ONE_BEAM = 0.01
_NUMBER = r"([-+]?[\d.]+(?:[eEdD][-+]?\d+)?)"
_AIPS = re.compile(rf"CLEAN\s+BMAJ=\s*{_NUMBER}\s+BMIN=\s*{_NUMBER}\s+BPA=\s*{_NUMBER}")
_CASA = re.compile(
    rf"restoration:\s*{_NUMBER}\s+by\s+{_NUMBER}\s*\(arcsec\)[\s>]*at\s+pa\s+{_NUMBER}"
)


def beam_table(label, hdu, hdus):
    """Return the beams of an image's planes, as CASA writes them.

    Parameters
    ----------
    label : str
        How messages call the image.
    hdu : HDU
        The image.
    hdus : HDUList
        Its file.

    Returns
    -------
    beams : ndarray of shape (3, n_planes) or None
        Full widths and position angles [deg]; of planes that have a beam.

    Raises
    ------
    ValueError
        If there are several tables, or one that says no units.
    """
    from astropy.units import Unit

    tables = [
        other
        for other in hdus
        if other.name == "BEAMS" and not other.is_image and _has_beams(other)
    ]
    if len(tables) > 1:
        tables = [other for other in tables if other.ver == hdu.ver]
        if len(tables) != 1:
            raise ValueError(
                f"{label}: its file has several tables of beams (BEAMS), and none of"
                f" EXTVER {hdu.ver}, that of the image."
            )
    if not tables:
        return None
    columns = []
    for name in ("BMAJ", "BMIN", "BPA"):
        column = tables[0].columns[name]
        text = {"DEGREES": "deg"}.get(column.unit, column.unit)
        if not text and name == "BPA":
            text = "deg"
        if not text:
            raise ValueError(f"{label}: its beams (BEAMS) have no unit of {name}.")
        values = np.asarray(tables[0].data[name], dtype=float)
        columns.append(Unit(text.strip()).to("deg", values))
    beams = np.array(columns)
    # planes that are blank have a beam of 0
    return beams[:, np.isfinite(beams).all(axis=0) & (beams[1] > 0)]


def _has_beams(table):
    return {"BMAJ", "BMIN", "BPA"} <= set(table.columns.names)


def beam_of(image, needed):
    """Return the beam of an image, None if it has none and needs none.

    Parameters
    ----------
    image : Image
        With its header, and its table of beams if there is one.
    needed : bool
        Whether it must have one.

    Returns
    -------
    beam : radio_beam.Beam or None

    Raises
    ------
    ValueError
        If it is needed and there is none, or several.
    """
    try:
        beam = _beam_of(image)
        if needed and beam is None:
            raise ValueError(
                f"{image.label} has no beam (BMAJ, BMIN, BPA, or a table BEAMS); add"
                ' it, or give `beam`="keep" if all maps have one beam already.'
            )
        if needed and not beam.sr.value > 0:
            raise ValueError(f"{image.label}: the beam has no area (BMAJ, BMIN).")
    except ValueError:
        if needed:
            raise
        return None
    return beam


def _beam_of(image):
    header, many = image.header, image.header.get("CASAMBM", False)
    if "BMAJ" in header and not many:
        axes = (
            header["BMAJ"],
            header.get("BMIN", header["BMAJ"]),
            header.get("BPA", 0.0),
        )
        return _beam(image, axes)
    if image.beams is not None:
        return _one_of(image)
    if many:
        raise ValueError(
            f"{image.label}: its beams are in a table BEAMS (CASAMBM), which the file"
            " has not; give the path of the file that has, or add BMAJ, BMIN, BPA and"
            " set CASAMBM to F."
        )
    return _of_history(image)


def _beam(image, axes):
    from astropy import units as u
    from radio_beam import Beam

    try:
        major, minor, angle = (float(axis) for axis in axes)
        return Beam(major * u.deg, minor * u.deg, angle * u.deg)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{image.label}: BMAJ, BMIN, BPA are {axes}, which is no beam: {error}"
        ) from error


def _one_of(image):
    """Return the beam that the planes of an image have in common."""
    major, minor, angle = image.beams
    if not len(major):
        raise ValueError(f"{image.label}: no plane has a beam (BEAMS).")
    # an ellipse as a vector of twice its angle: round beams have none
    elongation = (major - minor) * np.exp(2j * np.deg2rad(angle))
    middle = np.median(elongation.real) + 1j * np.median(elongation.imag)
    turned = np.abs(elongation - middle).max()
    spread = max(np.ptp(major), np.ptp(minor), turned)
    if spread > _ONE_BEAM * np.median(major):
        least, most = (pick(major) * 3600 for pick in (np.min, np.max))
        narrow, wide = (pick(minor) * 3600 for pick in (np.min, np.max))
        raise ValueError(
            f"{image.label} has {len(major)} beams (BEAMS), which are not one: BMAJ is"
            f" {least:.4g} to {most:.4g} arcsec, BMIN {narrow:.4g} to {wide:.4g}. A map"
            " that was integrated over them has none: bring the cube to one beam first"
            " (CASA: imsmooth, kernel='commonbeam'); or write the beam that the map has"
            " into BMAJ, BMIN, BPA, and set CASAMBM to F."
        )
    middle = int(np.argsort(major * minor)[len(major) // 2])
    return _beam(image, (major[middle], minor[middle], angle[middle]))


def _of_history(image):
    """Return the beam that AIPS or CASA noted last in a history, or None."""
    if "HISTORY" not in image.header:
        return None
    text = "\n".join(str(line) for line in image.header["HISTORY"])
    found = [(m.start(), m.groups(), 1.0) for m in _AIPS.finditer(text)]
    found += [(m.start(), m.groups(), 3600.0) for m in _CASA.finditer(text)]
    if not found:
        return None
    _, numbers, per_degree = max(found)
    axes = [float(number.lower().replace("d", "e")) for number in numbers]
    return _beam(image, (axes[0] / per_degree, axes[1] / per_degree, axes[2]))
