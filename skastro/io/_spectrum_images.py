"""Spectra in images with a dispersion axis, as IRAF and others write them."""

import re

import numpy as np

from ._spectrum_rows import Row, native, refuse_visits, text
from ._spectrum_tables import in_angstrom

#: Names of extensions with 1-sigma errors, and what makes others into those.
_ERRORS = ("ERROR", "ERRORS", "ERR", "ERRS", "SIGMA", "STDDEV", "UNCERT", "STD")
_VARIANCE = ("VARIANCE", "VAR")
_IVAR = ("IVAR", "INVVAR")
#: IRAF's functions of a dispersion solution that are read.
_FUNCTIONS = {1: np.polynomial.chebyshev.chebval, 2: np.polynomial.legendre.legval}


def is_image(hdus):
    """Return whether the primary image has a dispersion axis along its rows."""
    data, header = hdus[0].data, hdus[0].header
    if data is None or data.ndim not in (1, 2, 3):
        return False
    multispec = str(header.get("CTYPE1", "")).upper().startswith("MULTISPE")
    linear = "CRVAL1" in header and ("CDELT1" in header or "CD1_1" in header)
    return multispec or (linear and not str(header.get("CTYPE1", "")).startswith("RA"))


def read_image(path, hdus, options):
    """Read one spectrum, or one for each aperture, with errors if there are any."""
    refuse_visits(path, options, "an image")
    header = hdus[0].header
    data = np.asarray(hdus[0].data)
    cube = (
        data if data.ndim == 3 else data[None] if data.ndim == 2 else data[None, None]
    )
    flux = native(cube[0])
    if str(header.get("CTYPE1", "")).upper().startswith("MULTISPE"):
        wavelengths, where = _multispec(path, header, flux.shape)
        medium = "unknown"
    else:
        if len(flux) > 1 and not ("APNUM1" in header or "equispec" in _wat(header, 0)):
            raise ValueError(
                f"{path}: HDU 0 has {len(flux)} rows, and nothing says that they are"
                " spectra (IRAF's APNUM1, or system=equispec in WAT0_001)."
            )
        axis, medium = _linear(path, header, flux.shape[1])
        wavelengths, where = [axis] * len(flux), "HDU 0"
    unit = _axis_unit(header) or options.wavelength_unit
    if unit is None:
        raise ValueError(
            f"{path}, {where}: neither CUNIT1 nor WAT1_001 says in which unit the"
            " wavelengths are. Give `wavelength_unit`."
        )
    if medium == "unknown":
        medium = options.medium or medium
    sigma = _errors(path, hdus, cube, header)
    rows = []
    for i, axis in enumerate(wavelengths):
        name = text(header, "OBJECT") or path.name.split(".")[0]
        rows.append(
            Row(
                name=name,
                wavelength=in_angstrom(path, axis, unit, "HDU 0", "axis 1"),
                flux=flux[i],
                sigma=None if sigma is None else sigma[i],
                layout="image",
                medium=medium,
                frame=options.frame or "unknown",
                scale="normalised" if options.normalised else "unknown",
                unit=text(header, "BUNIT"),
                extension="HDU 0" if len(wavelengths) == 1 else f"aperture {i + 1}",
            )
        )
    return rows


def _linear(path, header, n_pixels):
    """Return an axis that is linear, in the wavelength or its logarithm."""
    kind = str(header.get("CTYPE1", "")).upper()
    medium = "unknown"
    if kind.startswith("AWAV"):
        medium = "air"
    elif kind.startswith("WAVE") and not kind.startswith("WAVELENGTH"):
        medium = "vacuum"
    step = header.get("CDELT1", header.get("CD1_1"))
    pixel = np.arange(n_pixels) + 1 - header.get("CRPIX1", 1)
    first = header["CRVAL1"]
    if kind.endswith("-LOG"):
        # the FITS standard's, Greisen et al. 2006, eq. 5
        return first * np.exp(pixel * step / first), medium
    flag = header.get("DC-FLAG", 0)
    if flag not in (0, 1):
        raise ValueError(
            f"{path}: DC-FLAG must be 0 (linear) or 1 (log10 of the wavelength), got"
            f" {flag}: it has no dispersion solution."
        )
    axis = first + pixel * step
    return (10.0**axis if flag == 1 else axis), medium


def _axis_unit(header):
    """Return the unit of axis 1 by CUNIT1 or IRAF's WAT1, or None."""
    unit = text(header, "CUNIT1")
    if not unit:
        match = re.search(r"\bunits=(\S+)", _wat(header, 1), re.IGNORECASE)
        unit = match[1] if match else ""
    return {"angstroms": "Angstrom", "nanometers": "nm", "microns": "micron"}.get(
        unit.lower(), unit
    ) or None


def _wat(header, axis):
    """Return IRAF's attributes of an axis, from cards of 68 characters each."""
    keys = sorted(key for key in header if re.fullmatch(rf"WAT{axis}_\d{{3}}", key))
    return "".join(f"{header[key]:<68}" for key in keys)


def _multispec(path, header, shape):
    """Return the wavelengths of the apertures of IRAF's multispec format."""
    specs = re.findall(r'spec(\d+)\s*=\s*"([^"]*)"', _wat(header, 2))
    if len(specs) != shape[0]:
        raise ValueError(
            f"{path}: WAT2 describes {len(specs)} aperture(s), and the image has"
            f" {shape[0]}."
        )
    axes = []
    for number, spec in sorted(specs, key=lambda item: int(item[0])):
        values = spec.split()
        kind, first, step, n = (float(v) for v in values[2:6])
        redshift = float(values[6])
        pixel = np.arange(1, shape[1] + 1)
        if kind in (0, 1):
            axis = first + step * (pixel - 1)
            axis = 10.0**axis if kind == 1 else axis
        elif kind == 2:
            axis = _functions(path, number, [float(v) for v in values[9:]], pixel)
        else:
            raise ValueError(f"{path}: aperture {number} has no dispersion solution.")
        if int(n) < shape[1]:
            raise ValueError(
                f"{path}: aperture {number} has {int(n)} of {shape[1]} pixels; cut the"
                " image to those (IRAF's scopy)."
            )
        axes.append(axis / (1 + redshift))
    return axes, "WAT2"


def _functions(path, number, values, pixel):
    """Return a weighted sum of Chebyshev or Legendre polynomials of the pixels."""
    total = np.zeros(len(pixel))
    while values:
        weight, offset, kind, order, low, high = values[:6]
        if int(kind) not in _FUNCTIONS:
            raise ValueError(
                f"{path}: aperture {number} has a dispersion function of type"
                f" {int(kind)}; Chebyshev (1) and Legendre (2) polynomials are read."
                " Make it linear (IRAF's dispcor)."
            )
        order = int(order)
        scaled = (2 * pixel - (high + low)) / (high - low)
        total += weight * (
            offset + _FUNCTIONS[int(kind)](scaled, values[6 : 6 + order])
        )
        values = values[6 + order :]
    return total


def _errors(path, hdus, cube, header):
    """Return 1-sigma errors of a band or an extension, or None."""
    bands = [text(header, f"BANDID{i + 1}").lower() for i in range(len(cube))]
    at = [i for i, band in enumerate(bands) if band.startswith("sigma")]
    if at:
        sigma = native(cube[at[0]])
    else:
        kinds = (*_ERRORS, *_VARIANCE, *_IVAR)
        found = [hdu for hdu in hdus[1:] if hdu.name.upper() in kinds]
        if not found:
            return None
        if len(found) > 1:
            names = [hdu.name for hdu in found]
            raise ValueError(f"{path}: {names} may all be errors; keep one of them.")
        sigma = native(np.atleast_2d(found[0].data))
        if sigma.shape != cube.shape[1:]:
            raise ValueError(
                f"{path}: HDU {found[0].name} has the shape {sigma.shape}, the"
                f" spectrum {cube.shape[1:]}."
            )
        positive = np.where(sigma > 0, sigma, np.nan)
        if found[0].name.upper() in _VARIANCE:
            return np.sqrt(positive)
        if found[0].name.upper() in _IVAR:
            return 1 / np.sqrt(positive)
    return np.where(sigma > 0, sigma, np.nan)
