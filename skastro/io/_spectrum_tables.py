"""Spectra in tables: of ESO's archive, and as people write them."""

import numpy as np

from ..utils.suggestions import closest
from ._spectrum_rows import (
    Row,
    bits,
    columns_of,
    from_ivar,
    native,
    number,
    refuse_flux,
    refuse_visits,
    text,
    want_normalised,
)

#: Names of columns, in lower case, by what they are.
KNOWN_COLUMNS = {
    "wavelength": ("wavelength", "wave", "lambda", "lam", "wl", "spectral_axis"),
    "loglam": ("loglam", "log_wavelength", "log10_wavelength", "log_lambda"),
    "flux": ("flux", "f_lambda", "flam", "intensity", "flux_density"),
    "error": (
        *("error", "err", "sigma", "e_flux", "flux_err", "flux_error", "err_flux"),
        *("uncertainty", "std", "stddev", "flux_sigma", "fluxerr"),
    ),
    "ivar": ("ivar", "inverse_variance", "invvar", "flux_ivar"),
    "variance": ("variance", "var"),
    "mask": ("mask", "flag", "flags", "quality", "qual", "dq"),
}
_FRAMES = {
    "BARYCENT": "barycentric",
    "HELIOCEN": "heliocentric",
    "TOPOCENT": "topocentric",
}


def is_eso(hdus):
    """Return whether a file is a one-dimensional science data product of ESO."""
    if len(hdus) < 2 or not columns_of(hdus[1]):
        return False
    category = str(hdus[0].header.get("PRODCATG", "")).upper()
    voclass = str(hdus[1].header.get("VOCLASS", "")).upper()
    return category.startswith("SCIENCE.SPECTRUM") or voclass.startswith("SPECTRUM")


def read_eso(path, hdus, options):
    """Read a table with one row of vectors, described by UCDs."""
    refuse_visits(path, options, "an ESO data product")
    header, table = hdus[0].header, hdus[1]
    if len(table.data) != 1:
        raise ValueError(
            f"{path}: HDU 1 has {len(table.data)} rows; a spectrum of ESO's archive has"
            " one, of vectors."
        )
    normalised = bool(header.get("CONTNORM", False))
    if normalised:
        refuse_flux(path, options, "this file (CONTNORM = T)")
    else:
        want_normalised(path, options, False, "this file (CONTNORM is not T)")
    ucds = {
        name: str(table.header.get(f"TUCD{i}", "")).lower()
        for i, name in enumerate(table.columns.names, start=1)
    }
    axis = _by_ucd(path, ucds, "em.wl", "wavelength", "WAVE")
    flux = _by_ucd(path, ucds, "phot.flux.density", "flux", "FLUX", "arith.ratio")
    error = _by_ucd(path, ucds, "stat.error", "errors", "ERR")
    names = columns_of(table)
    quality = names.get("qual") or names.get("qual_reduced")
    unit = table.columns[axis].unit or ""
    data = table.data[0]
    # archives have spectra without errors, whose column is there and empty (HARPS)
    sigma = native(data[error])
    sigma = None if np.isnan(sigma).all() else np.where(sigma > 0, sigma, np.nan)
    return [
        Row(
            name=text(header, "OBJECT") or path.stem,
            wavelength=in_angstrom(path, data[axis], unit, "HDU 1", axis),
            flux=data[flux],
            sigma=sigma,
            mask=None if quality is None else bits(data[quality]),
            layout="eso",
            medium="air" if "obs.atmos" in ucds[axis] else "vacuum",
            frame=_FRAMES.get(text(header, "SPECSYS").upper(), "unknown"),
            scale=_eso_scale(normalised, header),
            unit=(table.columns[flux].unit or "").strip(),
            extension="HDU 1",
            labels={
                "ra": number(header, "RA"),
                "dec": number(header, "DEC"),
                "mjd": number(header, "MJD-OBS"),
                "snr": number(header, "SNR"),
            },
        )
    ]


def _eso_scale(normalised, header):
    if normalised:
        return "normalised"
    calibrated = text(header, "FLUXCAL").upper() == "ABSOLUTE"
    return "calibrated" if calibrated else "relative"


def _by_ucd(path, ucds, start, what, name, other=None):
    """Return the column with a UCD: the main one, or that of the usual name."""
    found = [
        column
        for column, ucd in ucds.items()
        if ucd.startswith(start) or (other and ucd.startswith(other))
    ]
    main = [column for column in found if "meta.main" in ucds[column]]
    named = [column for column in (found or ucds) if column.upper() == name]
    for candidates in (main, named, found):
        if len(candidates) == 1:
            return candidates[0]
    raise ValueError(
        f"{path}: HDU 1 must have one column of {what} (UCD {start!r}, with meta.main"
        f" if there are several, or the name {name!r}); its columns are"
        f" {', '.join(f'{c} ({u or chr(45)})' for c, u in ucds.items())}."
    )


def in_angstrom(path, values, unit, where, name):
    """Return wavelengths in Angstrom, which have a unit of length."""
    from astropy import units as u

    values = np.asarray(values, dtype=float)
    try:
        factor = u.Unit(str(unit).strip()).to(u.Angstrom)
    except (u.UnitConversionError, ValueError) as error:
        raise ValueError(
            f"{path}, {where}: column {name!r} must be a wavelength, in a unit of"
            f" length, got {str(unit)!r}; for a table without units give"
            " `wavelength_unit`."
        ) from error
    return values * factor


def is_table(hdus):
    """Return whether a file has a table with wavelengths and flux."""
    return any(_has_spectrum(columns_of(hdu)) for hdu in hdus)


def _has_spectrum(names):
    return any(n in names for n in KNOWN_COLUMNS["flux"]) and any(
        n in names for n in (*KNOWN_COLUMNS["wavelength"], *KNOWN_COLUMNS["loglam"])
    )


def read_fits_table(path, hdus, options):
    """Read the first table of a FITS file that holds a spectrum."""
    from astropy.table import Table

    wanted = [name.lower() for name in options.columns.values() if name]
    for i, hdu in enumerate(hdus):
        names = columns_of(hdu)
        if _has_spectrum(names) or (names and wanted and set(wanted) <= set(names)):
            table = Table.read(hdu)
            table.meta = dict(hdus[0].header) | dict(table.meta)
            return read_table(path, table, options, f"HDU {i}")
    raise ValueError(
        f"{path} has no table with the columns {sorted(options.columns.values())}."
    )


def read_table(path, table, options, where="table"):
    """Read one spectrum: a row for each pixel, or one row of vectors."""
    refuse_visits(path, options, "a table")
    found = _find(path, table, options, where)
    cells = {key: _values(table[name]) for key, name in found.items()}
    if "wavelength" in found:
        unit = table[found["wavelength"]].unit or options.wavelength_unit
        if unit is None:
            raise ValueError(
                f"{path}, {where}: column {found['wavelength']!r} has no unit. Give"
                ' `wavelength_unit`, such as "Angstrom" or "nm".'
            )
        wavelength = in_angstrom(
            path, cells["wavelength"], unit, where, found["wavelength"]
        )
    else:
        wavelength = 10.0 ** cells["loglam"]
    sigma = None
    if "error" in cells:
        sigma = np.where(cells["error"] > 0, cells["error"], np.nan)
    elif "ivar" in cells:
        sigma = from_ivar(cells["ivar"])
    elif "variance" in cells:
        variance = cells["variance"]
        sigma = np.sqrt(np.where(variance > 0, variance, np.nan))
    meta = {str(key).upper(): value for key, value in table.meta.items()}
    unit = table[found["flux"]].unit
    return [
        Row(
            name=text(meta, "OBJECT", "NAME", "STAR") or path.name.split(".")[0],
            wavelength=wavelength,
            flux=cells["flux"],
            sigma=sigma,
            mask=bits(cells["mask"]) if "mask" in cells else None,
            layout="table",
            medium=options.medium or "unknown",
            frame=options.frame or "unknown",
            scale="normalised" if options.normalised else "unknown",
            unit="" if unit is None else str(unit),
            extension=where,
        )
    ]


def _values(column):
    values = np.ma.ravel(np.ma.asarray(column, dtype=float))
    return np.ma.filled(values, np.nan)


def _find(path, table, options, where):
    """Return which column is what."""
    by_name = {name.lower(): name for name in table.colnames}
    found = {}
    for key, name in options.columns.items():
        if key not in KNOWN_COLUMNS:
            raise ValueError(
                f"`columns` has {key!r}, which is none of {sorted(KNOWN_COLUMNS)}."
                f"{closest(str(key), KNOWN_COLUMNS)}"
            )
        if name is not None and name.lower() not in by_name:
            raise ValueError(
                f"{path}, {where}: no column {name!r} among {table.colnames}."
                f"{closest(name, table.colnames)}"
            )
        found[key] = None if name is None else by_name[name.lower()]
    for key, names in KNOWN_COLUMNS.items():
        matches = [by_name[name] for name in names if name in by_name]
        if key in found or not matches:
            continue
        if len(matches) > 1:
            raise ValueError(
                f"{path}, {where}: {matches} may all be the {key}; say which by"
                f" `columns={{{key!r}: ...}}`."
            )
        found[key] = matches[0]
    found = {key: name for key, name in found.items() if name is not None}
    # two or three columns without names, as people write them
    if not found and table.colnames == ["col1", "col2", "col3"][: len(table.colnames)]:
        keys = ("wavelength", "flux", "error")
        found = dict(zip(keys, table.colnames, strict=False))
    if "flux" not in found or not ({"wavelength", "loglam"} & set(found)):
        raise ValueError(
            f"{path}, {where}: no columns of wavelength and flux among"
            f" {table.colnames}; name them by"
            ' `columns={"wavelength": ..., "flux": ..., "error": ...}`.'
        )
    if len({"error", "ivar", "variance"} & set(found)) > 1:
        errors = [key for key in ("error", "ivar", "variance") if key in found]
        raise ValueError(
            f"{path}, {where}: it has {' and '.join(errors)}; say by"
            f" `columns={{{errors[1]!r}: None}}` which is not to be used."
        )
    return found
