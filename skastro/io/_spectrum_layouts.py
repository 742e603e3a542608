"""Layouts of files that `read_spectra` knows, and how one is told from another."""

from dataclasses import dataclass, field

from ..utils.fits_files import opened
from ..utils.suggestions import closest
from ._spectrum_gaia import gaia_layout, is_gaia, read_gaia, read_gaia_fits
from ._spectrum_images import is_image, read_image
from ._spectrum_sdss import (
    APOGEE_PIXMASK,
    SPPIXMASK,
    is_apstar,
    is_aspcap,
    is_mwm,
    is_spec,
    read_apstar,
    read_aspcap,
    read_mwm,
    read_spec,
)
from ._spectrum_specutils import read_specutils
from ._spectrum_surveys import (
    DESI_SPECMASK,
    is_desi,
    is_galah_dr3,
    is_galah_dr4,
    is_lamost_image,
    is_lamost_table,
    read_desi,
    read_galah,
    read_lamost_image,
    read_lamost_table,
)
from ._spectrum_tables import (
    is_eso,
    is_table,
    read_eso,
    read_fits_table,
    read_table,
)


@dataclass(frozen=True)
class Layout:
    """A layout of files: how to know it, read it, and which bits are bad."""

    what: str
    recognise: object
    read: object
    bits: dict = field(default_factory=dict)
    #: Names of the bits that make a pixel bad, or "all" bits.
    bad: tuple | str = "all"


_BAD = ("BADPIX", "CRPIX", "SATPIX", "UNFIXABLE", "BADDARK", "BADFLAT", "BADERR")
_APOGEE = {"bits": APOGEE_PIXMASK, "bad": (*_BAD, "NOSKY")}

#: In the order in which they are tried: the particular before the general.
LAYOUTS = {
    "apogee apStar": Layout("apStar, asStar", is_apstar, read_apstar, **_APOGEE),
    "apogee aspcapStar": Layout("aspcapStar", is_aspcap, read_aspcap),
    "mwm boss": Layout(
        "mwmStar, mwmVisit (BOSS)", is_mwm, read_mwm, bits=SPPIXMASK, bad=()
    ),
    "mwm apogee": Layout("mwmStar, mwmVisit (APOGEE)", is_mwm, read_mwm, **_APOGEE),
    "sdss spec": Layout("spec-*", is_spec, read_spec, SPPIXMASK, ("BRIGHTSKY",)),
    "desi": Layout("coadd-*, spectra-*", is_desi, read_desi, DESI_SPECMASK),
    "lamost lrs image": Layout(
        "LAMOST, releases 1 to 5", is_lamost_image, read_lamost_image
    ),
    "lamost lrs": Layout("LAMOST, low resolution", is_lamost_table, read_lamost_table),
    "lamost mrs": Layout(
        "LAMOST, medium resolution", is_lamost_table, read_lamost_table
    ),
    "galah dr3": Layout("a camera of GALAH DR3", is_galah_dr3, read_galah),
    "galah dr4": Layout("a camera of GALAH DR4", is_galah_dr4, read_galah),
    "gaia rvs": Layout("Gaia RVS mean spectra", is_gaia, read_gaia_fits),
    "gaia xp": Layout("Gaia XP sampled spectra", is_gaia, read_gaia_fits),
    "eso": Layout("ESO science data product", is_eso, read_eso),
    "table": Layout("a table of wavelength, flux, error", is_table, read_fits_table),
    "image": Layout("an image with CRVAL1, or multispec", is_image, read_image),
    # only where it is asked for
    "specutils": Layout(
        "what specutils reads, if asked for", lambda hdus: False, read_specutils
    ),
}


def check_layout(layout):
    """Refuse a layout that is not known."""
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(
            f"`layout` must be None or one of {list(LAYOUTS)}, got {layout!r}."
            f"{closest(str(layout), LAYOUTS)}"
        )


def read_file(path, options):
    """Return the spectra of a file."""
    if options.layout == "specutils":
        rows = read_specutils(path, options)
    elif _is_fits(path):
        with opened(path, memmap=False) as hdus:
            layout = options.layout or _recognise(path, hdus)
            known = LAYOUTS[layout]
            # columns of a table may have any name, and its reader says what is missing
            free = options.layout in (None, "table")
            if not free and not known.recognise(hdus):
                raise ValueError(
                    f"{path} is not of layout {layout!r} ({known.what}): it has"
                    f" {_contents(hdus)}."
                )
            rows = known.read(path, hdus, options)
    else:
        rows = _read_text(path, options)
    if options.layout:
        others = {row.layout for row in rows} - {options.layout}
        if others:
            raise ValueError(
                f"{path} is of layout {sorted(others)}, and `layout` is"
                f" {options.layout!r}."
            )
    return [row.finish(path) for row in rows]


def _is_fits(path):
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(b"SIMPLE"):
        return True
    name = path.name.lower()
    return name.endswith((".fits", ".fit", ".fts")) or (
        start.startswith(b"\x1f\x8b") and ".fit" in name
    )


def _recognise(path, hdus):
    for name, layout in LAYOUTS.items():
        if layout.recognise(hdus):
            return name
    raise ValueError(
        f"{path} is of no layout that is known: it has {_contents(hdus)}. Known are"
        f" {', '.join(f'{k!r} ({v.what})' for k, v in LAYOUTS.items())}. A table with"
        ' other names of columns is read by `columns={"wavelength": ..., "flux": ...}`'
        ' and `layout="table"`.'
    )


def _contents(hdus):
    """Return what a file holds, in a few words."""
    parts = []
    for i, hdu in enumerate(hdus[:8]):
        names = getattr(getattr(hdu, "columns", None), "names", None)
        if names:
            what = f"a table of {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
        elif hdu.data is None:
            what = "no data"
        else:
            what = f"an image of {hdu.data.shape}"
        parts.append(f"HDU {i} {hdu.name}: {what}")
    return "; ".join(parts) + (" …" if len(hdus) > 8 else "")


def _read_text(path, options):
    """Read a table in any format that astropy knows by its name or content."""
    from astropy.table import Table

    if options.layout not in (None, "table", "gaia rvs", "gaia xp"):
        raise ValueError(
            f"{path} is not a FITS file, as layout {options.layout!r} has them."
        )
    votable = path.name.lower().endswith((".xml", ".vot", ".votable"))
    try:
        if votable:
            table = Table.read(path, format="votable")
        else:
            ecsv = path.name.lower().endswith((".ecsv", ".ecsv.gz"))
            table = Table.read(path, format="ascii.ecsv" if ecsv else "ascii")
    except Exception as error:  # whatever the parser at hand raises
        raise ValueError(
            f"{path} is not a table that astropy reads: {error}"
        ) from error
    try:
        layout = None if options.layout == "table" else gaia_layout(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if layout:
        return read_gaia(path, table, options, layout)
    return read_table(path, table, options)


def bad_bits_of(layout, bad_bits):
    """Return the bits of a layout that make a pixel bad, as one pattern."""
    known = LAYOUTS[layout]
    chosen = bad_bits
    if isinstance(bad_bits, dict):
        chosen = bad_bits.get(layout)
    if chosen is None:
        chosen = known.bad
    if isinstance(chosen, str) and chosen == "all":
        return -1
    pattern = 0
    for bit in [chosen] if isinstance(chosen, str | int) else chosen:
        if isinstance(bit, str):
            if bit not in known.bits:
                raise ValueError(
                    f"`bad_bits` has {bit!r}, which is no bit of layout {layout!r}:"
                    f" {list(known.bits) or 'its bits have no names, give numbers'}."
                    f"{closest(bit, known.bits)}"
                    f" Several layouts have theirs by `bad_bits={{{layout!r}: ...}}`."
                )
            bit = known.bits[bit]
        if isinstance(bit, bool) or not 0 <= bit < 63:
            raise ValueError(f"`bad_bits` must be names, or 0 to 62, got {bit!r}.")
        pattern |= 1 << int(bit)
    return pattern
