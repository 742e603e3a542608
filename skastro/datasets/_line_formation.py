"""Formation of spectral lines in local thermodynamic equilibrium, much simplified."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import voigt_profile, wofz
from sklearn.utils import check_random_state

#: Elements of thesis Table 4.2: mean and scatter of [Fe/H] and [X/Fe] [dex].
ABUNDANCES = {
    "Fe": (-0.13, 0.24),
    "N": (0.28, 0.11),
    "O": (0.03, 0.08),
    "Na": (-0.05, 0.38),
    "Mg": (0.06, 0.08),
    "Al": (0.07, 0.09),
    "Si": (0.05, 0.07),
    "S": (0.05, 0.07),
    "K": (0.04, 0.07),
    "Ca": (0.02, 0.04),
    "Ti": (-0.01, 0.06),
    "V": (-0.01, 0.11),
    "Mn": (-0.04, 0.07),
    "Ni": (0.02, 0.04),
    "P": (-0.04, 0.18),
    "Cr": (-0.01, 0.06),
    "Co": (0.0, 0.15),
    "Rb": (-0.03, 0.29),
}
ELEMENTS = tuple(ABUNDANCES)
#: Effective temperature [K] and surface gravity [log10 cm/s2] of thesis Table 4.1.
LABELS = {"teff": (4000.0, 5000.0), "logg": (1.5, 3.0)}

#: Ionisation energy [eV] and number of lines of each atom.
_ATOMS = {
    "Fe": (7.90, 260),
    "Na": (5.14, 4),
    "Mg": (7.65, 16),
    "Al": (5.99, 8),
    "Si": (8.15, 40),
    "S": (10.36, 9),
    "K": (4.34, 5),
    "Ca": (6.11, 14),
    "Ti": (6.83, 18),
    "V": (6.75, 12),
    "Mn": (7.43, 14),
    "Ni": (7.64, 40),
    "P": (10.49, 5),
    "Cr": (6.77, 16),
    "Co": (7.88, 12),
    "Rb": (4.18, 3),
}
#: Dissociation energy [eV], number of lines, and how the number density of a molecule
#: goes with the abundances of N, O and, by [Fe/H], all (carbon follows iron).
_MOLECULES = {
    "CN": (7.72, 260, {"N": 1.0, "O": -0.6, "all": 1.4}),
    "OH": (4.39, 160, {"O": 1.0, "all": 1.0}),
    "CO": (11.09, 100, {"O": 0.2, "all": 1.2}),
}
#: Share of each element among the donors of free electrons.
_DONORS = {"Mg": 0.35, "Si": 0.3, "Fe": 0.3, "Na": 0.02, "Al": 0.02, "Ca": 0.01}

#: The star about which line strengths are given.
_REFERENCE = np.array([[4500.0, 2.25]])
_RESOLUTION = 22500.0
#: Doppler width in velocity [km/s], thermal and turbulent.
_DOPPLER = 2.0
#: Depth of the core of a fully saturated line.
_DEEPEST = 0.85
#: Ratios of the damping width to the Doppler width.
_DAMPING = np.array([0.003, 0.01, 0.03, 0.1])
#: Boltzmann's constant times ln 10: 5040 K eV.
_THETA = 5040.0
_LIGHT = 299792.458
#: Logarithmic optical depths of the table of curves of growth.
_DEPTHS = np.linspace(-8, 5, 261)
#: Stars whose spectra or derivatives are made at once.
_ROWS = 200


def apogee_wavelength():
    """Return the 7,514 vacuum wavelengths [Angstrom] of the three APOGEE detectors."""
    grid = 10 ** (4.179 + 6e-6 * np.arange(8575))
    return np.concatenate([grid[246:3274], grid[3585:6080], grid[6344:8335]])


@dataclass(frozen=True)
class LineFormation:
    """Spectra of red giants from a line list drawn at random.

    A line's strength is the product of an abundance, the populations of Boltzmann and
    Saha at the temperature and electron pressure of one layer, and the inverse of the
    continuous opacity of negative hydrogen. Its equivalent width follows the curve of
    growth of a Voigt profile in a Milne-Eddington atmosphere. The instrument, not the
    line, gives the profile its width.

    Parameters
    ----------
    seed : int, default=0
        Chooses the line list.
    log_gf_error : float, default=0.0
        Scatter [dex] of errors of the lines' oscillator strengths: the line list is
        the one of the seed otherwise.

    Attributes
    ----------
    wavelength : ndarray of shape (7514,)
        Vacuum wavelengths [Angstrom] of the pixels of the three APOGEE detectors.
    element_names : tuple of str
        Iron first.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.datasets import LineFormation
    >>> model = LineFormation(seed=0)
    >>> flux = model.flux(np.array([[4500.0, 2.0]]), np.zeros((1, 18)))
    >>> flux.shape
    (1, 7514)
    """

    seed: int = 0
    log_gf_error: float = 0.0

    @property
    def element_names(self):
        """Elements of the columns of `abundances`."""
        return ELEMENTS

    @cached_property
    def wavelength(self):
        """Vacuum wavelengths [Angstrom] of the pixels."""
        return apogee_wavelength()

    @cached_property
    def _lines(self):
        rng = check_random_state(self.seed)
        atoms = np.repeat(list(_ATOMS), [n for _, n in _ATOMS.values()])
        molecules = np.repeat(list(_MOLECULES), [n for _, n, _ in _MOLECULES.values()])
        species = np.concatenate([atoms, molecules])
        n, is_atom = len(species), np.arange(len(species)) < len(atoms)
        excitation = np.where(
            is_atom, rng.uniform(4.0, 6.5, n), rng.uniform(0.1, 1.3, n)
        )
        # few strong lines, many weak ones; the rare elements have only weak ones
        strength = rng.normal(-0.55, 0.75, n)
        strength[np.isin(species, ["P", "Rb", "Co", "V"])] -= 0.5
        # a tenth of the lines of most metals are those of their ions
        ion = is_atom & (rng.uniform(size=n) < 0.1) & (excitation > 4.5)
        centre = rng.uniform(self.wavelength[0], self.wavelength[-1], n)
        damping = np.where(
            is_atom, rng.randint(1, len(_DAMPING), n), np.zeros(n, dtype=int)
        )
        # drawn last, so that all else is the same with errors and without
        strength = strength + self.log_gf_error * rng.normal(size=n)
        return {
            "species": species,
            "is_atom": is_atom,
            "excitation": excitation,
            "strength": strength,
            "ion": ion,
            "centre": centre,
            "damping": damping,
        }

    @cached_property
    def _profiles(self):
        """Line profiles on the pixels [1/Angstrom], of unit area."""
        lines = self._lines
        centre = lines["centre"][:, None]
        doppler = centre * _DOPPLER / _LIGHT
        instrument = centre / _RESOLUTION / 2.3548
        width = np.sqrt(instrument**2 + doppler**2 / 2)
        damping = _DAMPING[lines["damping"]][:, None] * doppler
        offset = self.wavelength - centre
        return voigt_profile(offset, width, damping).astype(np.float32)

    @cached_property
    def _growth(self):
        """Curves of growth: log10 of the width, in Doppler widths, for each damping."""
        v = np.concatenate([[0.0], np.geomspace(1e-2, 3e3, 600)])
        curves = []
        for a in _DAMPING:
            depth = 10 ** _DEPTHS[:, None] * wofz(v + 1j * a).real
            width = 2 * np.trapezoid(_DEEPEST * depth / (1 + depth), v, axis=1)
            curves.append(CubicSpline(_DEPTHS, np.log10(width)))
        return curves

    @cached_property
    def _by_element(self):
        """How the logarithm of a line's number density goes with [Fe/H] and [X/Fe]."""
        species = self._lines["species"]
        power = np.zeros((len(species), len(ELEMENTS)))
        for column, element in enumerate(ELEMENTS):
            power[species == element, column] = 1.0
        power[self._lines["is_atom"], 0] = 1.0
        for molecule, (_, _, powers) in _MOLECULES.items():
            for element, exponent in powers.items():
                column = 0 if element == "all" else ELEMENTS.index(element)
                power[species == molecule, column] = exponent
        return power

    @cached_property
    def _donors(self):
        share = np.array([_DONORS.get(element, 0.0) for element in ELEMENTS])
        share[0] = sum(_DONORS.values())
        return share

    def _opacity(self, labels, abundances):
        """Return log10 of the ratio of line to continuum, without the strengths.

        And its derivative by the logarithm of the electron pressure.
        """
        lines = self._lines
        temperature = 0.9 * labels[:, :1]
        theta = _THETA / temperature
        gravity = labels[:, 1:2] - 2.25
        metals = abundances @ self._donors
        electrons = (
            -0.6 + gravity / 3 + 2.2 * (labels[:, :1] - 4500.0) / 1000
        ) + 0.33 * metals[:, None]
        log_ratio = np.zeros((len(labels), len(lines["species"])))
        by_electrons = np.zeros_like(log_ratio)
        for atom, (energy, _) in _ATOMS.items():
            own = lines["species"] == atom
            saha = -0.176 + 2.5 * np.log10(temperature) - theta * energy - electrons
            neutral = 1 / (1 + 10**saha)
            part = np.where(lines["ion"][own], 1 - neutral, neutral)
            log_ratio[:, own] = np.log10(np.maximum(part, 1e-12))
            # d log10(neutral) / d log10(electrons) is the ionised share
            by_electrons[:, own] = np.where(lines["ion"][own], -neutral, 1 - neutral)
        gas = 2 / 3 * gravity
        for molecule, (energy, _, _) in _MOLECULES.items():
            own = lines["species"] == molecule
            # much of the carbon and of the oxygen is bound already
            log_ratio[:, own] = 0.25 * energy * theta + gas
        log_ratio -= lines["excitation"] * theta
        # opacity of negative hydrogen, free-free
        log_ratio -= electrons + 0.5 * np.log10(temperature)
        by_electrons -= 1.0
        return log_ratio + abundances @ self._by_element.T, by_electrons

    @cached_property
    def _reference(self):
        zero = np.zeros((1, len(ELEMENTS)))
        return self._opacity(_REFERENCE, zero)[0]

    def _widths(self, labels, abundances):
        """Return equivalent widths [Angstrom], their log-slopes, and by_electrons."""
        lines = self._lines
        log_ratio, by_electrons = self._opacity(labels, abundances)
        depth = log_ratio - self._reference + lines["strength"]
        depth = np.clip(depth, _DEPTHS[0], _DEPTHS[-1])
        width, slope = np.empty_like(depth), np.empty_like(depth)
        for k, curve in enumerate(self._growth):
            own = lines["damping"] == k
            width[:, own] = 10 ** curve(depth[:, own])
            slope[:, own] = curve(depth[:, own], 1)
        return width * lines["centre"] * _DOPPLER / _LIGHT, slope, by_electrons

    def flux(self, labels, abundances):
        """Return continuum-normalised spectra.

        Parameters
        ----------
        labels : ndarray of shape (n_stars, 2)
            Effective temperature [K] and surface gravity [log10 cm/s2].
        abundances : ndarray of shape (n_stars, 18)
            [Fe/H] and [X/Fe] [dex], in the order of ``element_names``.

        Returns
        -------
        flux : ndarray of float32, of shape (n_stars, 7514)
        """
        width, _, _ = self._widths(labels, abundances)
        return np.exp(-(width.astype(np.float32) @ self._profiles))

    def derivatives(self, labels, abundances):
        """Return spectra and their exact derivatives by the abundances.

        Parameters
        ----------
        labels, abundances : ndarray
            As in `flux`.

        Returns
        -------
        flux : ndarray of float32, of shape (n_stars, 7514)
        derivatives : ndarray of float32, of shape (n_stars, 18, 7514)
            [1/dex].
        """
        width, slope, by_electrons = self._widths(labels, abundances)
        flux = np.exp(-(width.astype(np.float32) @ self._profiles))
        by_depth = width * slope * np.log(10)
        powers = (
            self._by_element.T[None]
            + 0.33 * self._donors[:, None] * by_electrons[:, None]
        )
        by_abundance = (by_depth[:, None] * powers).astype(np.float32)
        return flux, -flux[:, None] * (by_abundance @ self._profiles)

    def information(self, labels, abundances, snr, *, known=("Fe",)):
        """Return the Fisher information of spectra about unknown abundances.

        Parameters
        ----------
        labels, abundances : ndarray
            As in `flux`.
        snr : float
            Signal-to-noise ratio: errors are ``1 / snr`` in every pixel.
        known : sequence of str, default=("Fe",)
            Elements whose abundances are given.

        Returns
        -------
        information : ndarray of shape (n_stars, n_unknown, n_unknown)
            [1/dex2].
        """
        wrong = {known} if isinstance(known, str) else set(known) - set(ELEMENTS)
        if wrong:
            raise ValueError(
                f"`known` must be a sequence of elements among {list(ELEMENTS)}, got"
                f" {known!r}."
            )
        unknown = [k for k, name in enumerate(ELEMENTS) if name not in known]
        blocks = []
        for start in range(0, len(labels), _ROWS):
            part = slice(start, start + _ROWS)
            _, D = self.derivatives(labels[part], abundances[part])
            D = D[:, unknown]
            blocks.append(np.matmul(D, D.transpose(0, 2, 1)).astype(np.float64))
        return np.concatenate(blocks) * snr**2
