"""Mean spectra of Gaia: RVS, and sampled XP."""

import numpy as np

from ._spectrum_rows import (
    Row,
    columns_of,
    number,
    refuse_flux,
    refuse_visits,
    want_normalised,
)

#: Grids of Gaia's mean spectra [nm]: first, last, and number of wavelengths.
GAIA_GRIDS = {"gaia rvs": (846.0, 870.0, 2401), "gaia xp": (336.0, 1020.0, 343)}


def is_gaia(hdus):
    """Return whether a FITS file has a table of Gaia's mean spectra."""
    return any(_layout_of(hdu) for hdu in hdus[1:])


def _layout_of(hdu):
    from astropy.table import Table

    if "flux_error" not in columns_of(hdu):
        return None
    return gaia_layout(Table.read(hdu))


def read_gaia_fits(path, hdus, options):
    """Read the table of a FITS file."""
    from astropy.table import Table

    hdu = next(hdu for hdu in hdus[1:] if _layout_of(hdu))
    table = Table.read(hdu)
    table.meta = dict(hdus[0].header) | dict(table.meta)
    return read_gaia(path, table, options, gaia_layout(table))


def gaia_layout(table):
    """Return which of Gaia's mean spectra a table holds, or None."""
    names = {name.lower() for name in table.colnames}
    if {"bp_coefficients", "rp_coefficients"} <= names:
        raise ValueError(
            "these are Gaia's continuous XP spectra, coefficients of basis functions:"
            " sample them by GaiaXPy, or take the sampled ones (XP_SAMPLED)."
        )
    if not {"flux", "flux_error"} <= names or not len(table):
        return None
    by_name = {name.lower(): name for name in table.colnames}
    if "wavelength" in names:
        values = np.asarray(table[by_name["wavelength"]], float)
        ends = [np.min(values), np.max(values)]
        found = (
            layout
            for layout, (first, last, n) in GAIA_GRIDS.items()
            if np.allclose(ends, [first, last]) and len(np.unique(values)) == n
        )
        return next(found, None)
    if "source_id" not in names:
        return None
    size = np.size(table[by_name["flux"]][0])
    return next((k for k, grid in GAIA_GRIDS.items() if grid[2] == size), None)


def read_gaia(path, table, options, layout):
    """Read Gaia's mean spectra: of one source, of several, or a row for each."""
    refuse_visits(path, options, "a table of Gaia's mean spectra")
    if layout == "gaia rvs":
        refuse_flux(path, options, "a table of Gaia's RVS spectra")
    else:
        want_normalised(path, options, False, "a table of Gaia's XP spectra")
    by_name = {name.lower(): name for name in table.colnames}

    def filled(name, rows=slice(None)):
        values = table[by_name[name]][rows]
        values = values.filled(np.nan) if hasattr(values, "filled") else values
        return np.asarray(values, dtype=float)

    groups = []
    if "wavelength" not in by_name:
        first, last, n = GAIA_GRIDS[layout]
        for i in range(len(table)):
            groups.append((str(table[by_name["source_id"]][i]), None, i))
    elif "source_id" in by_name:
        ids = np.asarray(table[by_name["source_id"]])
        groups = [(str(i), np.flatnonzero(ids == i), None) for i in dict.fromkeys(ids)]
    else:
        name = next(
            (str(v) for k, v in table.meta.items() if str(k).lower() == "source_id"), ""
        )
        groups = [(name or path.name.split(".")[0], slice(None), None)]
    rows = []
    for name, at, i in groups:
        if i is None:
            wavelength = filled("wavelength", at)
            flux, sigma = filled("flux", at), filled("flux_error", at)
        else:
            wavelength = np.linspace(first, last, n)
            flux, sigma = (
                _vector(table, by_name[k], i) for k in ("flux", "flux_error")
            )
        rvs = layout == "gaia rvs"
        cells = {k: table[v][i] for k, v in by_name.items()} if i is not None else {}
        rows.append(
            Row(
                name=name,
                wavelength=10 * wavelength,
                flux=flux,
                sigma=np.where(sigma > 0, sigma, np.nan),
                layout=layout,
                medium="vacuum",
                frame="rest" if rvs else "barycentric",
                scale="normalised" if rvs else "calibrated",
                unit="" if rvs else "W / (m2 nm)",
                extension="table" if i is None else f"row {i}",
                labels={"ra": number(cells, "ra"), "dec": number(cells, "dec")},
            )
        )
    return rows


def _vector(table, name, i):
    cell = np.ma.asarray(table[name][i], dtype=float)
    return np.ma.filled(cell, np.nan)
