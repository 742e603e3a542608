"""Spectra of several grids in one array, without interpolation."""

import numpy as np

#: By which fraction of a pixel wavelengths of one grid may differ: single precision.
TOLERANCE = 0.02


def pack(rows):
    """Return arrays of spectra, and one grid, or the grid of each.

    Where all wavelengths lie on one grid with steps that are equal, in the wavelength
    or its logarithm, spectra are shifted by whole pixels to it. Other grids stay as
    they are, and shorter spectra end in NaN.

    Parameters
    ----------
    rows : list of Row
        Spectra, in order of wavelength.

    Returns
    -------
    wavelength : ndarray of shape (n_pixels,) or (n_spectra, n_pixels)
        Wavelengths [Angstrom], NaN where a spectrum has ended.
    X, sigma, mask : ndarray of shape (n_spectra, n_pixels)
        Flux, errors or None if no spectrum has any, and bit patterns.
    """
    shared = _same(rows)
    places = [slice(None)] * len(rows)
    if shared is None:
        shared, places = _one_grid(rows)
    if shared is None:
        n_pixels = max(len(row.flux) for row in rows)
        wavelength = np.full((len(rows), n_pixels), np.nan)
        for row, out in zip(rows, wavelength, strict=True):
            out[: len(row.wavelength)] = row.wavelength
        places = [slice(0, len(row.flux)) for row in rows]
    else:
        wavelength, n_pixels = shared, len(shared)
    single = all(row.flux.dtype == np.float32 for row in rows)
    shape, kind = (len(rows), n_pixels), np.float32 if single else np.float64
    X = np.full(shape, np.nan, dtype=kind)
    sigma = None
    if any(row.sigma is not None for row in rows):
        sigma = np.full(shape, np.nan, dtype=kind)
    mask = np.zeros(shape, dtype=np.int64)
    for i, (row, place) in enumerate(zip(rows, places, strict=True)):
        X[i, place] = row.flux
        if row.sigma is not None:
            sigma[i, place] = row.sigma
        if row.mask is not None:
            mask[i, place] = row.mask
    return wavelength, X, sigma, mask


def _same(rows):
    """Return the grid of all spectra, if it is the same."""
    if len({row.medium for row in rows}) > 1:
        return None
    first = rows[0].wavelength
    step = np.gradient(first) if len(first) > 1 else np.ones(1)
    for row in rows[1:]:
        if row.wavelength is first:
            continue
        if len(row.wavelength) != len(first):
            return None
        if np.any(np.abs(row.wavelength - first) > TOLERANCE * step):
            return None
    return first


def _one_grid(rows):
    """Return a grid of equal steps that has all wavelengths, and where each is."""
    if len({(row.layout, row.medium) for row in rows}) > 1:
        return None, None
    for forward, back in ((np.log, np.exp), (np.asarray, np.asarray)):
        longest = forward(max((row.wavelength for row in rows), key=len))
        if len(longest) < 2:
            continue
        # the mean over the whole of the longest, in which there may be gaps
        jumps = np.round(np.diff(longest) / np.median(np.diff(longest)))
        step = (longest[-1] - longest[0]) / jumps.sum()
        origin = forward(min(row.wavelength[0] for row in rows))
        places = [_steps(forward(row.wavelength) - origin, step) for row in rows]
        if any(place is None for place in places):
            continue
        used = np.zeros(max(place[-1] for place in places) + 1, dtype=bool)
        for place in places:
            used[place] = True
        column = np.cumsum(used) - 1
        grid = np.asarray(back(origin + step * np.flatnonzero(used)), dtype=float)
        return grid, [column[place] for place in places]
    return None, None


def _steps(distances, step):
    """Return distances as whole steps, or None if they are not."""
    steps = distances / step
    whole = np.round(steps)
    return whole.astype(int) if np.max(np.abs(steps - whole)) < TOLERANCE else None
