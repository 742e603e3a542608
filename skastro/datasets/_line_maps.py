"""Synthetic maps of molecular lines, in which gas components are blended."""

from numbers import Integral

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils import Bunch, check_random_state

_LINES = [
    *("CO(1-0)", "CO(2-1)", "CO(3-2)", "CO(6-5)", "HCN(1-0)", "HCN(4-3)"),
    *("HCO+(1-0)", "HCO+(4-3)", "CS(2-1)", "CS(7-6)"),
]
#: Temperature [K], density [cm^-3], line radiation temperatures [K], and where the gas
#: is: centre and standard deviation along rows and columns, in widths of the map.
_SCENES = {
    "protostellar": [
        (
            20.0,
            1e4,
            [
                15.846,
                13.97,
                11.287,
                0.54193,
                0.25626,
                0.0014457,
                0.011253,
                0.00013295,
                1.6651,
                0.0042126,
            ],
            ((0.50, 0.50), (0.30, 0.26)),
        ),
        (
            10.0,
            1e5,
            [
                6.6396,
                5.2597,
                3.8217,
                0.023188,
                2.2938,
                0.0094273,
                0.0087939,
                4.5198e-05,
                0.36392,
                6.4619e-05,
            ],
            ((0.36, 0.60), (0.12, 0.16)),
        ),
        (
            100.0,
            1e7,
            [
                3.8142,
                13.029,
                23.205,
                35.559,
                6.3899,
                32.594,
                5.5099e-06,
                6.6392e-05,
                0.0070505,
                0.047093,
            ],
            ((0.64, 0.36), (0.08, 0.08)),
        ),
    ],
    "high_z": [
        (
            10.0,
            1e4,
            [
                6.5611,
                5.1562,
                3.4114,
                0.001984,
                0.075733,
                6.4553e-05,
                0.0063004,
                1.2866e-05,
                0.53809,
                5.5186e-05,
            ],
            ((0.50, 0.50), (0.28, 0.28)),
        ),
        (
            30.0,
            1e5,
            [
                23.346,
                24.269,
                21.988,
                11.584,
                4.7541,
                0.2136,
                0.015595,
                0.0011111,
                1.6441,
                0.019551,
            ],
            ((0.50, 0.50), (0.16, 0.16)),
        ),
        (
            50.0,
            1e7,
            [
                12.532,
                29.16,
                35.298,
                28.35,
                8.5189,
                19.747,
                6.9394e-06,
                5.1832e-05,
                0.0043257,
                0.014089,
            ],
            ((0.50, 0.50), (0.07, 0.07)),
        ),
    ],
}


def make_line_maps(
    scene="protostellar",
    *,
    map_shape=(50, 50),
    snr=100.0,
    overlap=1.0,
    contrast=1.0,
    blank_fraction=0.0,
    line_noise=None,
    beam=0.1,
    random_state=None,
):
    """Generate maps of ten molecular lines from three gas components.

    Each component emits a profile, its intensities in the ten lines, from a region
    that is a two-dimensional Gaussian of unit peak; a beam blurs the sum, and noise is
    added.

    Parameters
    ----------
    scene : {"protostellar", "high_z"}, default="protostellar"
        Gas of 20 K and 1e4 cm^-3, 10 K and 1e5, 100 K and 1e7, which overlaps
        moderately; or of 10 K and 1e4, 30 K and 1e5, 50 K and 1e7, all about one
        centre.
    map_shape : tuple of int, default=(50, 50)
        Rows and columns of the maps.
    snr : float or None, default=100.0
        Mean of a line's map over its noise. None for no noise.
    overlap : float, default=1.0
        Factor of the extents of the components.
    contrast : float, default=1.0
        How much brighter the brightest component is made, beside the others.
    blank_fraction : float, default=0.0
        Share of the entries of X that are made NaN, at random.
    line_noise : array-like of shape (10,), default=None
        Factors of the noise of each line.
    beam : float, default=0.1
        Full width at half maximum of the beam, in widths of the map.
    random_state : int, RandomState instance or None, default=None
        Draws the noise and the blanks.

    Returns
    -------
    data : Bunch
        With ``X``, line intensities (as radiation temperatures [K]) of shape (n_pixels,
        10), row by row of the map; ``sigma``, their errors; ``components`` (3, 10),
        profiles [K]; ``contributions`` (n_pixels, 3), blurred by the beam; ``lines``;
        ``map_shape``; ``temperature`` [K] and ``density`` [cm^-3] of the components.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The profiles are of RADEX, with abundances of a time-dependent model of chemistry
    (UCLCHEM, no freeze-out, 2e6 yr) and columns in proportion to these, 1e19 cm^-2 of
    CO at most, in lines 100 km/s wide. The lines are those of Viti et al. 2014.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 3.4. S. Viti et al.
    2014, A&A 570, A28. J. Holdship et al. 2017, AJ 154, 38.

    Examples
    --------
    >>> from skastro.datasets import make_line_maps
    >>> data = make_line_maps("high_z", random_state=0)
    >>> data.X.shape, data.components.shape, data.map_shape
    ((2500, 10), (3, 10), (50, 50))
    """
    if scene not in _SCENES:
        raise ValueError(f"`scene` must be one of {list(_SCENES)}, got {scene!r}.")
    if len(map_shape) != 2 or not all(
        isinstance(n, Integral) and n > 0 for n in map_shape
    ):
        raise ValueError(f"`map_shape` must be two positive numbers, got {map_shape}.")
    if snr is not None and not snr > 0:
        raise ValueError(f"`snr` must be positive, or None for no noise, got {snr}.")
    for name, value in (("overlap", overlap), ("contrast", contrast)):
        if not value > 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")
    if not beam >= 0:
        raise ValueError(f"`beam` must not be negative, got {beam}.")
    if not 0 <= blank_fraction < 1:
        raise ValueError(f"`blank_fraction` must be in [0, 1), got {blank_fraction}.")
    factors = np.ones(len(_LINES)) if line_noise is None else np.asarray(line_noise)
    if factors.shape != (len(_LINES),) or not np.all(factors > 0):
        raise ValueError(
            f"`line_noise` must be {len(_LINES)} positive factors, got {line_noise}."
        )
    rng = check_random_state(random_state)
    gas = _SCENES[scene]
    components = np.array([profile for _, _, profile, _ in gas])
    brightest = components.sum(axis=1).argmax()
    components[brightest] *= contrast
    rows, columns = ((np.arange(n) + 0.5) / n for n in map_shape)
    maps = []
    for *_, (centre, extent) in gas:
        profiles = [
            np.exp(-0.5 * ((x - c) / (e * overlap)) ** 2)
            for x, c, e in zip((rows, columns), centre, extent, strict=True)
        ]
        blur = [beam * n / np.sqrt(8 * np.log(2)) for n in map_shape]
        maps.append(gaussian_filter(np.outer(*profiles), blur).ravel())
    contributions = np.column_stack(maps)
    X = contributions @ components
    sigma = np.broadcast_to(
        X.mean(axis=0) * factors * (0 if snr is None else 1 / snr), X.shape
    )
    X = X + sigma * rng.normal(size=X.shape)
    X[rng.uniform(size=X.shape) < blank_fraction] = np.nan
    return Bunch(
        X=X,
        sigma=sigma.copy(),
        components=components,
        contributions=contributions,
        lines=list(_LINES),
        map_shape=tuple(map_shape),
        temperature=np.array([t for t, *_ in gas]),
        density=np.array([n for _, n, *_ in gas]),
    )
