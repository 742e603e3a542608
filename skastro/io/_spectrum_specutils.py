"""Spectra that specutils reads, for surveys that have no layout here."""

import warnings

import numpy as np

from ._spectrum_rows import Row, refuse_visits, text


def read_specutils(path, options):
    """Read a file by the loader that specutils finds for it."""
    from astropy import units as u
    from astropy.nddata import StdDevUncertainty

    try:
        from specutils import SpectrumList
    except ImportError as error:
        raise ImportError(
            'layout="specutils" needs specutils: pip install "skastro[specutils]".'
        ) from error
    refuse_visits(path, options, "a file that specutils reads")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = SpectrumList.read(str(path))
    except Exception as error:  # whatever one of its loaders raises
        raise ValueError(f"specutils does not read {path}: {error}") from error
    rows = []
    for n, spectrum in enumerate(found):
        where = f"spectrum {n}"
        try:
            axis = spectrum.spectral_axis.to_value(u.Angstrom, u.spectral())
        except u.UnitConversionError as error:
            raise ValueError(
                f"{path}, {where}: its axis is in {spectrum.spectral_axis.unit}, which"
                " is no wavelength."
            ) from error
        sigma = None
        if spectrum.uncertainty is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                errors = spectrum.uncertainty.represent_as(StdDevUncertainty)
            # some loaders leave out the unit, which is that of the flux
            unit = errors.unit or spectrum.flux.unit
            sigma = np.atleast_2d((errors.array * unit).to_value(spectrum.flux.unit))
        mask = None if spectrum.mask is None else np.atleast_2d(spectrum.mask)
        meta = dict(spectrum.meta)
        header = meta.get("header") or {}
        for i, flux in enumerate(np.atleast_2d(spectrum.flux.value)):
            rows.append(
                Row(
                    name=text(header, "OBJECT", "OBJID") or path.name.split(".")[0],
                    wavelength=axis,
                    flux=flux,
                    sigma=None if sigma is None else sigma[i],
                    mask=None if mask is None else (mask[i] != 0).astype(np.int64),
                    layout="specutils",
                    medium=options.medium or "unknown",
                    frame=options.frame or "unknown",
                    scale="normalised" if options.normalised else "unknown",
                    unit=str(spectrum.flux.unit),
                    extension=f"{where}, row {i}",
                )
            )
    return rows
