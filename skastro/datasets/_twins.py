"""Synthetic spectra of stars that come in chemical twins."""

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_random_state

from ._line_formation import ABUNDANCES, LABELS, LineFormation

#: Stars whose spectra are made at once.
_ROWS = 1000


def make_twin_spectra(
    n_pairs=1000, *, snr=100.0, line_list_seed=0, log_gf_error=0.0, random_state=None
):
    """Generate APOGEE-like spectra of red giants in pairs of equal composition.

    The two stars of a pair share [Fe/H] and 17 abundances [X/Fe], of the normal
    distributions of thesis Table 4.2, and differ in effective temperature (uniform,
    4000-5000 K) and surface gravity (uniform, log g of 1.5-3.0, Table 4.1). Spectra
    come from :class:`LineFormation`.

    Parameters
    ----------
    n_pairs : int, default=1000
        Number of pairs. Every other row, ``X[::2]``, is a sample without twins.
    snr : float or None, default=100.0
        Signal-to-noise ratio: normal errors of ``1 / snr`` are added to every pixel of
        the continuum-normalised flux. None for no noise.
    line_list_seed : int, default=0
        Chooses the line list, apart from `random_state`: sets for training and test
        share it.
    log_gf_error : float, default=0.0
        Scatter [dex] of errors of the oscillator strengths, drawn with the line list:
        spectra of the same lines from an atomic data base that is not exact.
    random_state : int, RandomState instance or None, default=None
        Draws the stars and the noise.

    Returns
    -------
    data : Bunch
        With ``X``, spectra of shape (2 * n_pairs, 7514), float32; ``u``, effective
        temperature [K], surface gravity [log10 cm/s2] and [Fe/H] [dex], with
        ``condition_names``; ``abundances`` (2 * n_pairs, 18), [Fe/H] and [X/Fe] [dex],
        with ``element_names``; ``y``, the number of the pair: rows 0 and 1 are twins,
        2 and 3, and so on; ``wavelength`` [Angstrom]; and ``model``, the
        `LineFormation` for exact derivatives and Fisher information.

    Raises
    ------
    ValueError
        If `n_pairs` or `snr` is not positive, or `log_gf_error` negative.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.4.

    Examples
    --------
    >>> from skastro.datasets import make_twin_spectra
    >>> data = make_twin_spectra(n_pairs=10, random_state=0)
    >>> data.X.shape, data.u.shape, data.y[:4]
    ((20, 7514), (20, 3), array([0, 0, 1, 1]))
    """
    if not isinstance(n_pairs, Integral) or n_pairs < 1:
        raise ValueError(f"`n_pairs` must be an integer of at least 1, got {n_pairs}.")
    if snr is not None and not snr > 0:
        raise ValueError(
            f"`snr` must be positive, or None for spectra without noise, got {snr}."
        )
    if not log_gf_error >= 0:
        raise ValueError(
            f"`log_gf_error` must be a scatter in dex, 0 or more, got {log_gf_error}."
        )
    rng = check_random_state(random_state)
    mean, scatter = np.array(list(ABUNDANCES.values())).T
    abundances = mean + scatter * rng.normal(size=(n_pairs, len(mean)))
    abundances = np.repeat(abundances, 2, axis=0)
    labels = np.column_stack(
        [rng.uniform(*LABELS[name], 2 * n_pairs) for name in ("teff", "logg")]
    )
    model = LineFormation(line_list_seed, log_gf_error)
    X = np.empty((2 * n_pairs, len(model.wavelength)), dtype=np.float32)
    for start in range(0, len(X), _ROWS):
        part = slice(start, start + _ROWS)
        X[part] = model.flux(labels[part], abundances[part])
        if snr is not None:
            X[part] += rng.normal(scale=1 / snr, size=X[part].shape)
    return Bunch(
        X=X,
        u=np.column_stack([labels, abundances[:, 0]]),
        condition_names=["teff", "logg", "fe_h"],
        abundances=abundances,
        element_names=list(model.element_names),
        y=np.repeat(np.arange(n_pairs), 2),
        wavelength=model.wavelength,
        model=model,
    )
