"""Spectra of the Sloan surveys: BOSS, APOGEE and their products in SDSS-V."""

import re

import numpy as np

from ._spectrum_rows import (
    LIGHT,
    Row,
    bits,
    column,
    columns_of,
    from_ivar,
    image,
    linear_axis,
    native,
    number,
    refuse_flux,
    refuse_visits,
    text,
    want_normalised,
)

#: Of the optical spectrographs, https://www.sdss3.org/dr10/algorithms/bitmask_sppixmask.php
SPPIXMASK = {
    "NOPLUG": 0,
    "BADTRACE": 1,
    "BADFLAT": 2,
    "BADARC": 3,
    "MANYBADCOLUMNS": 4,
    "MANYREJECTED": 5,
    "LARGESHIFT": 6,
    "BADSKYFIBER": 7,
    "NEARWHOPPER": 8,
    "WHOPPER": 9,
    "SMEARIMAGE": 10,
    "SMEARHIGHSN": 11,
    "SMEARMEDSN": 12,
    "NEARBADPIXEL": 16,
    "LOWFLAT": 17,
    "FULLREJECT": 18,
    "PARTIALREJECT": 19,
    "SCATTEREDLIGHT": 20,
    "CROSSTALK": 21,
    "NOSKY": 22,
    "BRIGHTSKY": 23,
    "NODATA": 24,
    "COMBINEREJ": 25,
    "BADFLUXFACTOR": 26,
    "BADSKYCHI": 27,
    "REDMONSTER": 28,
}
#: https://www.sdss4.org/dr17/algorithms/bitmasks/#APOGEE_PIXMASK
APOGEE_PIXMASK = {
    "BADPIX": 0,
    "CRPIX": 1,
    "SATPIX": 2,
    "UNFIXABLE": 3,
    "BADDARK": 4,
    "BADFLAT": 5,
    "BADERR": 6,
    "NOSKY": 7,
    "LITTROW_GHOST": 8,
    "PERSIST_HIGH": 9,
    "PERSIST_MED": 10,
    "PERSIST_LOW": 11,
    "SIG_SKYLINE": 12,
    "SIG_TELLURIC": 13,
    "NOT_ENOUGH_PSF": 14,
}
#: What APOGEE's pipeline writes as the error of a pixel without data.
NO_DATA = 1e9
FLUX_UNIT = "1e-17 erg / (s cm2 Angstrom)"


def is_spec(hdus):
    """Return whether a file is of one fibre: a table with loglam and ivar."""
    return len(hdus) > 1 and {"flux", "loglam", "ivar", "and_mask"} <= set(
        columns_of(hdus[1])
    )


def read_spec(path, hdus, options):
    """Read spec-*.fits, in full or lite."""
    refuse_visits(path, options, "an SDSS spec file", " Its exposures are not read.")
    want_normalised(path, options, False, "an SDSS spec file")
    header, coadd = hdus[0].header, hdus[1]
    chosen = "or_mask" if options.any_exposure else "and_mask"
    labels = {
        "ra": number(header, "PLUG_RA", "RA"),
        "dec": number(header, "PLUG_DEC", "DEC"),
        "mjd": number(header, "MJD"),
    }
    if len(hdus) > 2 and columns_of(hdus[2]) and len(hdus[2].data):
        fit = {key: hdus[2].data[0][name] for key, name in columns_of(hdus[2]).items()}
        labels["class"], labels["subclass"] = text(fit, "class"), text(fit, "subclass")
        labels["redshift"] = number(fit, "z")
        labels["snr"] = number(fit, "sn_median_all", "sn_median")
        if labels["class"] == "STAR":
            labels["velocity"] = LIGHT * labels["redshift"]
            labels["velocity_error"] = LIGHT * number(fit, "z_err")
    return [
        Row(
            name=_fibre(path, header),
            wavelength=10.0 ** np.asarray(column(path, coadd, "loglam"), float),
            flux=column(path, coadd, "flux"),
            sigma=from_ivar(column(path, coadd, "ivar")),
            mask=bits(column(path, coadd, chosen)),
            layout="sdss spec",
            medium="vacuum" if header.get("VACUUM", True) else "air",
            frame="heliocentric",
            scale="calibrated",
            unit=FLUX_UNIT,
            extension=f"HDU {coadd.name or 1}",
            labels=labels,
        )
    ]


def _fibre(path, header):
    match = re.search(r"spec-(.+)\.fits", path.name)
    if match:
        return match[1]
    keys = ("PLATEID", "MJD", "FIBERID")
    return "-".join(str(header[key]) for key in keys if key in header) or path.stem


def is_apstar(hdus):
    """Return whether a file has rows of combined and single visits of APOGEE."""
    return (
        len(hdus) > 3
        and "NVISITS" in hdus[0].header
        and not columns_of(hdus[1])
        and _is_apogee_grid(hdus)
    )


def _is_apogee_grid(hdus):
    # 8,575 pixels of 6e-6 in log10 of the wavelength, from 4.179
    header = hdus[1].header
    first, step = header.get("CRVAL1", 0), header.get("CDELT1", 0)
    return abs(first - 4.179) < 1e-6 and abs(step - 6e-6) < 1e-12


def visit_labels(header, n):
    """Return what the header of an apStar file says of a visit, counted from 1."""
    return {
        "visit": n,
        "date": text(header, f"DATE{n}"),
        "jd": number(header, f"JD{n}"),
        "fiber": number(header, f"FIBER{n}"),
        "snr": number(header, f"SNRVIS{n}"),
        "velocity": number(header, f"VHELIO{n}"),
        "velocity_error": number(header, f"VERR{n}"),
        "starflag": number(header, f"FLAG{n}"),
    }


def read_apstar(path, hdus, options):
    """Read apStar and asStar: two combinations of the visits, and then the visits."""
    want_normalised(path, options, False, "an apStar file")
    header = hdus[0].header
    flux, error, mask = (np.atleast_2d(image(path, hdus, i)) for i in (1, 2, 3))
    if not flux.shape == error.shape == mask.shape:
        raise ValueError(
            f"{path}: HDUs 1 to 3 must have one shape, got {flux.shape}, {error.shape}"
            f" and {mask.shape}."
        )
    wavelength = linear_axis(path, hdus[1].header, flux.shape[1], log10=True)
    name = text(header, "OBJID", "OBJ") or path.stem
    # a single visit has one row, which is both
    single = len(flux) == 1
    first = 0 if single else 2
    wanted = range(first, len(flux)) if options.visits else [0]
    shared = {"ra": number(header, "RA"), "dec": number(header, "DEC")}
    rows = []
    for i in wanted:
        if options.visits:
            labels = shared | visit_labels(header, i - first + 1)
        else:
            labels = shared | {
                "snr": number(header, "SNR"),
                "velocity": number(header, "VHELIO", "VRAD"),
                "velocity_error": number(header, "VERR"),
                "velocity_scatter": number(header, "VSCATTER"),
                "n_visits": number(header, "NVISITS"),
                "starflag": number(header, "STARFLAG"),
            }
        rows.append(
            Row(
                name=name,
                wavelength=wavelength,
                flux=flux[i],
                sigma=_with_data(error[i]),
                mask=bits(mask[i]),
                layout="apogee apStar",
                medium="vacuum",
                frame="rest",
                scale="calibrated",
                unit=FLUX_UNIT,
                extension=f"row {i}",
                labels=labels,
            )
        )
    return rows


def _with_data(error):
    error = native(error)
    return np.where(error < NO_DATA, error, np.nan)


def is_aspcap(hdus):
    """Return whether a file is APOGEE's normalised spectrum with its best fit."""
    return (
        len(hdus) > 3
        and not columns_of(hdus[1])
        and _is_apogee_grid(hdus)
        and all(np.ndim(hdus[i].data) == 1 for i in (1, 2, 3))
    )


def read_aspcap(path, hdus, options):
    """Read aspcapStar."""
    refuse_flux(path, options, "an aspcapStar file")
    refuse_visits(path, options, "an aspcapStar file", " The apStar file has them.")
    flux, error = (image(path, hdus, i) for i in (1, 2))
    labels = {}
    fit = next((hdu for hdu in hdus[3:] if "teff" in columns_of(hdu)), None)
    if fit is not None:
        cells = {k: fit.data[0][v] for k, v in columns_of(fit).items()}
        labels = {
            "ra": number(cells, "ra"),
            "dec": number(cells, "dec"),
            "teff": number(cells, "teff"),
            "logg": number(cells, "logg"),
            "fe_h": number(cells, "fe_h"),
            "snr": number(cells, "snr"),
            "velocity": number(cells, "vhelio_avg"),
            "velocity_scatter": number(cells, "vscatter"),
            "aspcapflag": number(cells, "aspcapflag"),
        }
    match = re.search(r"aspcapStar-[^-]+-(.+)\.fits", path.name)
    return [
        Row(
            name=match[1] if match else path.stem,
            wavelength=linear_axis(path, hdus[1].header, len(flux), log10=True),
            flux=flux,
            sigma=_with_data(error),
            layout="apogee aspcapStar",
            medium="vacuum",
            frame="rest",
            scale="normalised",
            extension="HDU 1",
            labels=labels,
        )
    ]


def is_mwm(hdus):
    """Return whether a file is SDSS-V's mwmStar or mwmVisit: four tables."""
    return "V_ASTRA" in hdus[0].header and any(
        {"flux", "ivar", "pixel_flags"} <= set(columns_of(hdu)) for hdu in hdus[1:]
    )


def read_mwm(path, hdus, options):
    """Read mwmStar and mwmVisit: BOSS and APOGEE, of both observatories."""
    wanted = {"mwm boss": "BOSS", "mwm apogee": "APOGEE"}
    if options.layout in wanted:
        wanted = {options.layout: wanted[options.layout]}
    rows = []
    for layout, instrument in wanted.items():
        for hdu in hdus[1:]:
            if hdu.name.upper().startswith(instrument) and hdu.data is not None:
                rows += _mwm_rows(path, hdu, hdus[0].header, layout, options)
    if not rows:
        raise ValueError(
            f"{path} holds no spectrum of {' or '.join(wanted.values())}; its tables"
            f" are {', '.join(f'{h.name} ({_n_rows(h)} rows)' for h in hdus[1:])}."
        )
    return rows


def _n_rows(hdu):
    return 0 if hdu.data is None else len(hdu.data)


def _mwm_rows(path, hdu, source, layout, options):
    names = columns_of(hdu)
    is_visit = "in_stack" in names or "wavelength" not in names
    if len(hdu.data) and options.visits and not is_visit:
        refuse_visits(path, options, "an mwmStar file", " The mwmVisit file has them.")
    rows = []
    for i in range(len(hdu.data)):
        cells = {key: hdu.data[name][i] for key, name in names.items()}
        flux = np.ravel(cells["flux"])
        if "wavelength" in cells:
            wavelength = np.ravel(cells["wavelength"])
        else:
            keys = ("CRVAL", "CDELT")
            if any(key not in hdu.header for key in keys):
                raise ValueError(
                    f"{path}, HDU {hdu.name}: neither a column 'wavelength' nor CRVAL"
                    " and CDELT in its header."
                )
            first, step = (hdu.header[key] for key in keys)
            wavelength = 10 ** (first + step * np.arange(len(flux)))
        sigma = from_ivar(np.ravel(cells["ivar"]))
        scale = "calibrated"
        if want_normalised(path, options, "continuum" in cells, f"HDU {hdu.name}"):
            continuum = np.ravel(cells["continuum"])
            with np.errstate(divide="ignore", invalid="ignore"):
                flux, sigma = flux / continuum, sigma / continuum
            sigma = np.where(continuum > 0, sigma, np.nan)
            scale = "normalised"
        # visits that are not in the stack were not shifted to rest
        observed = "heliocentric" if layout == "mwm boss" else "unknown"
        labels = {
            "ra": number(source, "RA"),
            "dec": number(source, "DEC"),
            "gaia_id": text(source, "GAIA3_ID", "GAIA_ID"),
            "snr": number(cells, "snr"),
            "velocity": number(cells, "v_rad", "xcsao_v_rad"),
            "velocity_error": number(cells, "e_v_rad", "xcsao_e_v_rad"),
            "telescope": text(cells, "telescope"),
        }
        if is_visit:
            labels |= {"visit": i + 1, "mjd": number(cells, "mjd")}
        rows.append(
            Row(
                name=text(cells, "sdss_id") or text(source, "SDSS_ID") or path.stem,
                wavelength=wavelength,
                flux=flux,
                sigma=sigma,
                mask=bits(np.ravel(cells["pixel_flags"])),
                layout=layout,
                medium="vacuum",
                frame="rest" if cells.get("in_stack", True) else observed,
                scale=scale,
                unit="" if scale == "normalised" else FLUX_UNIT,
                extension=f"HDU {hdu.name}, row {i}",
                labels=labels,
            )
        )
    return rows
