"""Spectra of LAMOST, GALAH and DESI."""

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
    refuse_visits,
    text,
    want_normalised,
)

#: https://github.com/desihub/desispec/blob/main/py/desispec/maskbits.py, specmask
DESI_SPECMASK = {
    "SOMEBADPIX": 0,
    "ALLBADPIX": 1,
    "COSMIC": 2,
    "LOWFLAT": 3,
    "BADFIBERFLAT": 4,
    "BRIGHTSKY": 5,
    "BADSKY": 6,
    "BAD2DFIT": 7,
    "NODATA": 8,
    "BADFIBER": 9,
}


def _lamost_labels(header):
    redshift = number(header, "Z")
    labels = {
        "ra": number(header, "RA"),
        "dec": number(header, "DEC"),
        "snr": number(header, "SNRG", "SNR"),
        "class": text(header, "CLASS"),
        "subclass": text(header, "SUBCLASS"),
        "redshift": redshift,
    }
    if labels["class"] == "STAR":
        labels["velocity"] = LIGHT * redshift
        labels["velocity_error"] = LIGHT * number(header, "Z_ERR")
    return labels


def _lamost_row(path, header, name, arrays, extension, **more):
    """Return a spectrum of LAMOST, whose arrays all are vectors."""
    return Row(
        name=name,
        wavelength=arrays["wavelength"],
        flux=arrays["flux"],
        sigma=from_ivar(arrays["ivar"]),
        mask=bits(arrays["mask"]),
        medium="vacuum" if header.get("VACUUM", True) else "air",
        frame="heliocentric",
        scale="relative",
        extension=extension,
        **more,
    )


def _lamost_name(path, header):
    return text(header, "OBSID", "DESIG") or re.sub(r"\.fits?(\.gz)?$", "", path.name)


def is_lamost_image(hdus):
    """Return whether a file is a low-resolution spectrum of releases 1 to 5."""
    return (
        "LAMOST" in str(hdus[0].header.get("TELESCOP", "")).upper()
        and np.ndim(hdus[0].data) == 2
        and len(hdus[0].data) == 5
    )


def read_lamost_image(path, hdus, options):
    """Read rows of flux, inverse variance, wavelength and the two masks."""
    refuse_visits(path, options, "a low-resolution LAMOST file")
    want_normalised(path, options, False, "a LAMOST file of releases 1 to 5")
    header = hdus[0].header
    flux, ivar, wavelength, andmask, ormask = hdus[0].data
    if not np.all(np.diff(wavelength) > 0):
        raise ValueError(
            f"{path}: row 3 of HDU 0 must hold wavelengths, which increase; in the"
            " pilot survey's files it is the spectrum less its continuum. Take the"
            " file of a later release."
        )
    arrays = {
        "flux": flux,
        "ivar": ivar,
        "wavelength": wavelength,
        "mask": ormask if options.any_exposure else andmask,
    }
    return [
        _lamost_row(
            path,
            header,
            _lamost_name(path, header),
            arrays,
            "HDU 0",
            layout="lamost lrs image",
            labels=_lamost_labels(header),
        )
    ]


def is_lamost_table(hdus):
    """Return whether a file has tables of LAMOST: low or medium resolution."""
    return "LAMOST" in str(hdus[0].header.get("TELESCOP", "")).upper() and any(
        {"flux", "ivar"} <= set(columns_of(hdu)) for hdu in hdus[1:]
    )


def read_lamost_table(path, hdus, options):
    """Read LAMOST's tables: one low-resolution spectrum, or arms B and R."""
    tables = {hdu.name.upper(): hdu for hdu in hdus[1:] if columns_of(hdu)}
    arms = {name: hdu for name, hdu in tables.items() if re.match("COADD_[BR]", name)}
    single = {name: hdu for name, hdu in tables.items() if re.match("[BR]-", name)}
    medium_resolution = bool(arms or single)
    if options.visits and not single:
        refuse_visits(path, options, "this LAMOST file")
    if options.visits:
        groups = {}
        for name, hdu in single.items():
            groups.setdefault(name[2:], []).append(hdu)
    elif medium_resolution:
        if not arms:
            raise ValueError(
                f"{path} has no combined spectrum, but single exposures"
                f" {', '.join(single)}: read them by `visits=True`."
            )
        groups = {"COADD": list(arms.values())}
    else:
        groups = {"": list(tables.values())[:1]}
    header = hdus[0].header
    rows = []
    for group, members in groups.items():
        parts = [_lamost_table_arrays(path, hdu, options) for hdu in members]
        arrays = {
            key: np.concatenate([part[key] for part in parts]) for key in parts[0]
        }
        labels = _lamost_labels(header)
        if options.visits:
            labels |= {"visit": group, "snr": number(members[0].header, "SNR")}
        row = _lamost_row(
            path,
            header,
            _lamost_name(path, header),
            arrays,
            f"HDU {' and '.join(hdu.name for hdu in members)}",
            layout="lamost mrs" if medium_resolution else "lamost lrs",
            labels=labels,
        )
        if options.normalised:
            row.scale = "normalised"
        rows.append(row)
    return rows


def _lamost_table_arrays(path, hdu, options):
    """Return the vectors of a table, with one row or with a row for each pixel."""
    names = columns_of(hdu)
    chosen = "ormask" if options.any_exposure else "andmask"
    if "pixmask" in names:  # of a single exposure
        chosen = "pixmask"
    cells = {
        "flux": column(path, hdu, "flux"),
        "ivar": column(path, hdu, "ivar"),
        "mask": column(path, hdu, chosen),
    }
    cells = {key: np.ravel(value) for key, value in cells.items()}
    if "wavelength" in names:
        cells["wavelength"] = np.ravel(column(path, hdu, "wavelength")).astype(float)
    else:
        log = np.ravel(column(path, hdu, "loglam")).astype(float)
        cells["wavelength"] = 10.0**log
    available = "normalization" in names
    if want_normalised(path, options, available, f"HDU {hdu.name}"):
        flux = native(np.ravel(column(path, hdu, "normalization")))
        with np.errstate(divide="ignore", invalid="ignore"):
            cells["ivar"] = cells["ivar"] * (cells["flux"] / flux) ** 2
        cells["flux"] = flux
    return cells


def is_galah_dr4(hdus):
    """Return whether a file is of one camera of GALAH, release 4."""
    return len(hdus) > 2 and hdus[2].name.lower() == "relative_error"


def is_galah_dr3(hdus):
    """Return whether a file is of one camera of GALAH, releases 2 and 3."""
    return len(hdus) > 3 and hdus[1].name.lower() == "input_sigma"


def read_galah(path, hdus, options):
    """Read one camera of GALAH; `join_galah` joins those of a star."""
    refuse_visits(path, options, "a GALAH file")
    dr4 = is_galah_dr4(hdus)
    layout = "galah dr4" if dr4 else "galah dr3"
    at, error_at = (1, 2) if dr4 else (4, 1)
    available = len(hdus) > at
    index = 0
    if want_normalised(path, options, available, f"this {layout} file"):
        index = at
    flux = native(image(path, hdus, index))
    # errors are relative, of the spectrum as observed; where the normalised one was
    # cut (the infrared camera of release 3), its first pixels are gone
    relative = native(image(path, hdus, error_at))[-len(flux) :]
    if len(relative) != len(flux):
        raise ValueError(
            f"{path}: HDU {index} has {len(flux)} pixels, its relative errors in HDU"
            f" {error_at} only {len(relative)}."
        )
    sigma = np.abs(flux) * np.where(relative > 0, relative, np.nan)
    match = re.match(r"(\d{15})([1-4])\.fits", path.name)
    name, camera = (match[1], int(match[2])) if match else (path.stem, 0)
    header = hdus[0].header
    return [
        Row(
            name=name,
            wavelength=linear_axis(path, hdus[index].header, len(flux)),
            flux=flux,
            sigma=np.where(sigma > 0, sigma, np.nan),
            layout=layout,
            medium="air",
            frame="rest" if index == 4 else "barycentric",
            scale="normalised" if index else "counts",
            extension=f"HDU {index}",
            labels={"velocity": number(header, "RVCOM", "RV"), "camera": camera},
        )
    ]


def join_galah(rows, files):
    """Return rows and their files with the cameras of each star in one row."""
    groups = {}
    for i, (row, path) in enumerate(zip(rows, files, strict=True)):
        camera = row.labels.pop("camera", 0) if row.layout.startswith("galah") else 0
        key = (row.layout, row.name, row.frame) if camera else i
        groups.setdefault(key, []).append((camera, i, row, path))
    joined = []
    for members in groups.values():
        members = sorted(members, key=lambda member: member[:2])
        cameras, _, parts, paths = zip(*members, strict=True)
        first = parts[0]
        if cameras[0]:
            for name in ("wavelength", "flux", "sigma"):
                arrays = [getattr(part, name) for part in parts]
                setattr(first, name, np.concatenate(arrays))
            known = [v for v in (p.labels["velocity"] for p in parts) if np.isfinite(v)]
            first.labels["velocity"] = known[0] if known else np.nan
            first.extension = f"camera {', '.join(map(str, cameras))}"
            first.finish(paths[0])
        joined.append((first, paths[0]))
    return [row for row, _ in joined], [path for _, path in joined]


def is_desi(hdus):
    """Return whether a file is of DESI: a fibre map, and arms with images."""
    names = {hdu.name.upper() for hdu in hdus}
    return "FIBERMAP" in names and any(name.endswith("_WAVELENGTH") for name in names)


def read_desi(path, hdus, options):
    """Read a coadd or spectra file of DESI: all its targets, its arms combined."""
    what = "a DESI file"
    want_normalised(path, options, False, what)
    refuse_visits(
        path, options, what, " A spectra-*.fits file has them as its own rows."
    )
    images = {hdu.name.upper(): i for i, hdu in enumerate(hdus)}
    arms = [name[:-11] for name in images if name.endswith("_WAVELENGTH")]
    missing = [
        f"{arm}_{kind}"
        for arm in arms
        for kind in ("FLUX", "IVAR", "MASK")
        if f"{arm}_{kind}" not in images
    ]
    if missing:
        raise ValueError(f"{path} has no HDU(s) {', '.join(missing)}.")
    fibres = hdus[images["FIBERMAP"]]
    ids = column(path, fibres, "targetid")
    parts = []
    for arm in arms:
        wavelength = np.asarray(hdus[images[f"{arm}_WAVELENGTH"]].data, float)
        shape = (len(ids), len(wavelength))
        flux, ivar, mask = (
            image(path, hdus, images[f"{arm}_{kind}"], shape)
            for kind in ("FLUX", "IVAR", "MASK")
        )
        parts.append((wavelength, native(flux), native(ivar), bits(mask)))
    wavelength, flux, ivar, mask = _combine(path, parts)
    sigma = from_ivar(ivar)
    names = columns_of(fibres)
    rows = []
    for i, target in enumerate(ids):
        cells = {
            key: fibres.data[names[key]][i]
            for key in names
            if key in _DESI_LABELS or key in ("target_ra", "target_dec", "objtype")
        }
        labels = {
            "ra": number(cells, "target_ra"),
            "dec": number(cells, "target_dec"),
            "objtype": text(cells, "objtype"),
        }
        labels |= {key: number(cells, key) for key in _DESI_LABELS if key in cells}
        rows.append(
            Row(
                name=str(target),
                wavelength=wavelength,
                flux=flux[i],
                sigma=sigma[i],
                mask=mask[i],
                layout="desi",
                medium="vacuum",
                frame="barycentric",
                scale="calibrated",
                unit="1e-17 erg / (s cm2 Angstrom)",
                extension=f"row {i}, arms {' '.join(arms)}",
                labels=labels,
            )
        )
    return rows


_DESI_LABELS = ("ebv", "coadd_fiberstatus", "fiberstatus", "expid", "night")


def _combine(path, parts):
    """Average arms of one grid where they overlap, by weights that flags set to 0."""
    step = np.median(np.diff(parts[0][0]))
    first = min(wavelength[0] for wavelength, *_ in parts)
    places = [(wavelength - first) / step for wavelength, *_ in parts]
    if any(np.max(np.abs(place - np.round(place))) > 0.01 for place in places):
        raise ValueError(f"{path}: its arms are not on one grid of {step:g} Angstrom.")
    places = [np.round(place).astype(int) for place in places]
    used = np.unique(np.concatenate(places))
    shape = (len(parts), len(parts[0][1]), len(used))
    flux, weight = np.zeros(shape), np.zeros(shape)
    # all bits: what is not covered takes none away
    mask = np.full(shape, -1, dtype=np.int64)
    grid = np.empty(len(used))
    for arm, place, part in zip(range(len(parts)), places, parts, strict=True):
        at = np.searchsorted(used, place)
        grid[at] = part[0]
        flux[arm][:, at], weight[arm][:, at], mask[arm][:, at] = part[1:]
    weight[~((weight > 0) & np.isfinite(weight))] = 0
    good = np.where(mask == 0, weight, 0)
    weight = np.where(good.sum(axis=0) > 0, good, weight)
    ivar = weight.sum(axis=0)
    mean = (weight * flux).sum(axis=0) / np.where(ivar > 0, ivar, 1)
    mask[(weight == 0) & (ivar > 0)] = -1
    return grid, mean.astype(parts[0][1].dtype), ivar, np.bitwise_and.reduce(mask)
