"""RadexModel with any collision partner: agreement with pythonradex, and speed."""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import helpers
import numpy as np
from scipy import constants

from skastro.molecular import RadexModel, read_lamda
from skastro.molecular._constants import WAVENUMBER_TO_KELVIN
from skastro.molecular._escape_probability import ESCAPE_PROBABILITIES

THEIR_PARTNERS = {"o-H2": "ortho-H2", "p-H2": "para-H2"}
CODES = {"H2": 1, "p-H2": 2, "o-H2": 3, "e": 4, "H": 5, "He": 6, "H+": 7}
GEOMETRIES = {
    "uniform sphere": "static sphere",
    "lvg": "LVG sphere",
    "lvg radex": "LVG sphere RADEX",
    "slab": "LVG slab",
}


def folders():
    return [helpers.SHARED / "chem" / name for name in ("lamda", "lamda_more")]


def write_lamda(path, molecule):
    """Write a file that both can read, frequencies from energies, as RADEX has them."""
    rows = ["!", molecule.name, "!", "1.0", "!", str(molecule.n_levels), "!"]
    levels = zip(molecule.energies, molecule.statistical_weights, strict=True)
    rows += [f"{i} {e!r} {g!r} {i}" for i, (e, g) in enumerate(levels, start=1)]
    rows += ["!", str(len(molecule.upper)), "!"]
    for i, (u, l, a) in enumerate(
        zip(molecule.upper, molecule.lower, molecule.einstein_a, strict=True), start=1
    ):
        gap = molecule.energies[u] - molecule.energies[l]
        frequency = gap * constants.c * 100 / constants.giga
        rows.append(f"{i} {u + 1} {l + 1} {a!r} {frequency!r}")
    rows += ["!", str(len(molecule.collisions))]
    for table in molecule.collisions:
        rows += ["!", f"{CODES[table.partner]} rates", "!", str(len(table.upper)), "!"]
        rows += [str(len(table.temperatures)), "!"]
        rows += [" ".join(repr(t) for t in table.temperatures.tolist()), "!"]
        for i, (u, l, rates) in enumerate(
            zip(table.upper, table.lower, table.rates.T.tolist(), strict=True), start=1
        ):
            rows.append(f"{i} {u + 1} {l + 1} " + " ".join(map(repr, rates)))
    text = "\n".join(rows) + "\n"
    Path(path).write_text(text.replace("np.float64(", "").replace(")", ""))


def background(nu):
    quantum = constants.h * nu / (constants.k * 2.73)
    with np.errstate(over="ignore"):
        return 2 * constants.h * nu**3 / constants.c**2 / np.expm1(quantum)


class Peer:
    """pythonradex, one model at a time."""

    def __init__(self, path, geometry):
        from pythonradex.radiative_transfer import Source

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.source = Source(
                datafilepath=str(path),
                geometry=GEOMETRIES[geometry],
                line_profile_type="rectangular",
                width_v=1.0645e3,
                use_Ng_acceleration=True,
                treat_line_overlap=False,
                warn_negative_tau=False,
            )

    def __call__(self, temperature, densities, column):
        """Return populations, NaN where it fails."""
        populations = []
        for i, (T, N) in enumerate(zip(temperature, column, strict=True)):
            colliders = {
                THEIR_PARTNERS.get(name, name): values[i] * 1e6
                for name, values in densities.items()
            }
            self.source.update_parameters(
                N=N * 1e4,
                Tkin=T,
                collider_densities=colliders,
                ext_background=background,
                T_dust=0,
                tau_dust=0,
            )
            try:
                self.source.solve_radiative_transfer()
                populations.append(self.source.level_pop.copy())
            except (RuntimeError, AssertionError, np.linalg.LinAlgError):
                populations.append(
                    np.full(self.source.emitting_molecule.n_levels, np.nan)
                )
        return np.array(populations)


def residual(molecule, x, temperature, densities, column, geometry):
    """Return the largest imbalance of a level, per its gross rate, in long double.

    From the tables themselves, by its own formulae: it shares nothing with the solver
    but the escape probability. Levels below 1e-6 do not count.
    """
    real = np.longdouble
    energies = molecule.energies.astype(real) * real(WAVENUMBER_TO_KELVIN)
    weights = molecule.statistical_weights.astype(real)
    x = x.astype(real)
    flow = np.zeros((molecule.n_levels,) * 2, dtype=real)  # from [j] to [i]
    for table in molecule.collisions:
        if table.partner not in densities:
            continue
        rates = [np.interp(temperature, table.temperatures, r) for r in table.rates.T]
        for u, l, k in zip(table.upper, table.lower, rates, strict=True):
            rate = real(k) * real(densities[table.partner])
            boltzmann = np.exp(-(energies[u] - energies[l]) / real(temperature))
            flow[l, u] += rate * x[u]
            flow[u, l] += rate * weights[u] / weights[l] * boltzmann * x[l]
    for u, l, a in zip(
        molecule.upper, molecule.lower, molecule.einstein_a, strict=True
    ):
        wavenumber = molecule.energies[u] - molecule.energies[l]
        factor = a / (8 * np.pi * 1.0645 * wavenumber**3 * 1e5)
        tau = factor * column * (x[l] * weights[u] / weights[l] - x[u])
        beta = ESCAPE_PROBABILITIES[geometry](np.array([max(float(tau), -1.0)]))[0][0]
        photons = 1 / np.expm1((energies[u] - energies[l]) / real(2.73))
        flow[l, u] += a * beta * (1 + photons) * x[u]
        flow[u, l] += a * beta * photons * weights[u] / weights[l] * x[l]
    into, out = flow.sum(axis=1), flow.sum(axis=0)
    counts = x > 1e-6
    return float(np.max(np.abs(into - out)[counts] / (into + out)[counts]))


def draw(molecule, partners, n, seed):
    """Draw gas in which the lines are from thin to thick, within the rates."""
    rng = np.random.default_rng(seed)
    tables = [t for t in molecule.collisions if t.partner in partners]
    lower = max(max(t.temperatures[0] for t in tables), 5.0)
    upper = min(min(t.temperatures[-1] for t in tables), 1000.0)
    upper = max(upper, lower)
    temperature = lower * (upper / lower) ** rng.uniform(size=n)
    ranges = {"e": (-2, 3), "H+": (-2, 3)}
    densities = {
        name: 10 ** rng.uniform(*ranges.get(name, (2, 7)), n) for name in partners
    }
    # the strongest line in equilibrium has a depth of 0.01 to 100
    return temperature, densities, column_of_depth(molecule, temperature, rng)


def column_of_depth(molecule, temperature, rng):
    energies = molecule.energies * WAVENUMBER_TO_KELVIN
    x = molecule.statistical_weights * np.exp(-energies / temperature[:, None])
    x /= x.sum(axis=1, keepdims=True)
    u, l = molecule.upper, molecule.lower
    ratio = molecule.statistical_weights[u] / molecule.statistical_weights[l]
    wavenumber = molecule.energies[u] - molecule.energies[l]
    factor = molecule.einstein_a / (8 * np.pi * 1.0645 * wavenumber**3 * 1e5)
    depth = (factor * (x[:, l] * ratio - x[:, u])).max(axis=1)
    return 10 ** rng.uniform(-2, 2, len(temperature)) / depth


def ours(radex, temperature, densities, column):
    from skastro.molecular._partners import DENSITY_NAMES

    gas = {DENSITY_NAMES[name]: values for name, values in densities.items()}
    return radex.solve("X", temperature, column_density=column, **gas)


def compare(path, n, folder):
    """Yield a row for each partner and geometry of a file."""
    molecule = read_lamda(path, name="X")
    clean = folder / "clean.dat"
    write_lamda(clean, molecule)
    molecule = read_lamda(clean, name="X")
    for geometry in GEOMETRIES:
        peer = Peer(clean, geometry)
        for table in molecule.collisions:
            radex = RadexModel(
                [molecule.line_names[0]],
                partners=(table.partner,),
                geometry=geometry,
                molecules={"X": molecule},
            )
            gas = draw(molecule, [table.partner], n, seed=0)
            mine = ours(radex, *gas)
            start = time.process_time()
            theirs = peer(*gas)
            seconds = time.process_time() - start
            solved = np.isfinite(theirs).all(axis=1)
            x = mine.populations
            difference = np.where(x > 1e-6, np.abs(theirs / x - 1), 0).max(axis=1)
            plain = solved & (mine.tau.min(axis=1) > -1e-3)
            # Fortran RADEX changes formula at twice the depth where pythonradex does
            far = plain & (difference > 1e-3)
            words = []
            for i in np.flatnonzero(far)[:3]:
                one = (gas[0][i], {k: v[i] for k, v in gas[1].items()}, gas[2][i])
                both = [residual(molecule, p[i], *one, geometry) for p in (x, theirs)]
                words.append(f"{difference[i]:.1e}: {both[0]:.0e} / {both[1]:.0e}")
            yield {
                "file": path.name,
                "partner": table.partner,
                "geometry": geometry,
                "n": n,
                "converged": int(mine.converged.sum()),
                "failed": int((~solved).sum()),
                "n_plain": int(plain.sum()),
                "median": np.median(difference[plain]) if plain.any() else np.nan,
                "worst": difference[plain].max() if plain.any() else np.nan,
                "far": int(far.sum()),
                "residuals": "; ".join(words),
                "seconds": seconds / n,
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(p for f in folders() for p in f.glob("*.dat")):
            for row in compare(path, arguments.models, Path(folder)):
                print(*row.values(), flush=True)
