"""RadexModel with lines that overlap: agreement with pythonradex, and speed."""

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
from bench_partners import background, write_lamda
from scipy import constants

from skastro.molecular import RadexModel, load_molecule
from skastro.molecular._constants import GAUSSIAN_AREA

#: Kinetic temperatures [K], line widths [km/s], blends as ranges of frequencies [GHz].
CASES = {
    "HCN-hfs": ((10, 30), (0.3, 20), {"1-0": (88.6, 88.7), "3-2": (265.8, 265.95)}),
    "CN": (
        (10, 100),
        (20, 300),
        {"1-0, 3/2-1/2": (113.4, 113.6), "2-1": (226.8, 227.0)},
    ),
    "OH": (
        (15, 200),
        (0.3, 20),
        {"1667 MHz": (1.6, 1.73), "2510 GHz": (2509.5, 2510.5)},
    ),
    "HCl": ((10, 100), (0.3, 20), {"1-0": (625.5, 626.5)}),
}


def molecule_of(species):
    """Return a molecule whose frequencies are of its energies, as written for both."""
    molecule = load_molecule(species)
    gaps = molecule.energies[molecule.upper] - molecule.energies[molecule.lower]
    return replace(molecule, frequencies=gaps * constants.c * 100 / constants.giga)


class Peer:
    """pythonradex with overlap, one model at a time."""

    def __init__(self, molecule, partners):
        self.folder = tempfile.TemporaryDirectory()
        self.path, self.partners = Path(self.folder.name) / "x.dat", partners
        write_lamda(self.path, molecule)

    def source(self, temperature, density, column, line_width):
        """Return one model, not yet solved."""
        from pythonradex.radiative_transfer import Source

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = Source(
                datafilepath=str(self.path),
                geometry="static sphere RADEX",
                line_profile_type="rectangular",
                width_v=GAUSSIAN_AREA * line_width * 1e3,
                use_Ng_acceleration=True,
                treat_line_overlap=True,
                warn_negative_tau=False,
            )
            names = {"o-H2": "ortho-H2", "p-H2": "para-H2"}
            source.update_parameters(
                N=column * 1e4,
                Tkin=temperature,
                collider_densities={
                    names.get(p, p): density * 1e6 for p in self.partners
                },
                ext_background=background,
                T_dust=0,
                tau_dust=0,
            )
        return source


def by_segments(source):
    """Let pythonradex average over the segments between the edges of all lines.

    By itself it samples profiles, more and more densely until the average changes by
    less than 1 %.
    """
    lines = [t.line_profile for t in source.emitting_molecule.rad_transitions]
    edges = np.unique([(p.nu_min, p.nu_max) for p in lines])

    def average(profile, function):
        inside = edges[(edges >= profile.nu_min) & (edges <= profile.nu_max)]
        nu = (inside[1:] + inside[:-1]) / 2
        return np.sum(function(nu) * np.diff(inside)) / np.ptp(inside)

    for profile in lines:
        profile.average_over_phi_nu = lambda f, p=profile: average(p, f)


def brightness(source, lines):
    """Return the intensity of a blend above the background [K km/s]."""
    profiles = [source.emitting_molecule.rad_transitions[i].line_profile for i in lines]
    edges = np.unique([(p.nu_min, p.nu_max) for p in profiles])
    nu = (edges[1:] + edges[:-1]) / 2
    covered = np.any([(nu > p.nu_min) & (nu < p.nu_max) for p in profiles], axis=0)
    nu, length = nu[covered], np.diff(edges)[covered]
    calculator = source.intensity_calculator
    calculator.set_nu(nu)
    seen = calculator.specific_intensity_spectrum()
    seen = seen + background(nu) * np.expm1(-calculator.tau_tot)
    temperature = seen * constants.c**2 / (2 * constants.k * nu**2)
    return np.sum(temperature * length / nu) * constants.c / 1e3


def gas(species, n, seed):
    """Draw temperature, density, column density and line width."""
    rng = np.random.default_rng(seed)
    temperature = rng.uniform(*CASES[species][0], n)
    density, column = 10 ** rng.uniform(2, 7, n), 10 ** rng.uniform(12, 16, n)
    width = np.exp(rng.uniform(*np.log(CASES[species][1]), n))
    return temperature, density, column * width / 3, width


def blends(molecule, species):
    """Return the transitions of each blend, and its name."""
    for low, high in CASES[species][2].values():
        inside = (molecule.frequencies > low) & (molecule.frequencies < high)
        lines = np.flatnonzero(inside & (molecule.einstein_a > 0))
        names = [species + molecule.line_names[i][len(molecule.name) :] for i in lines]
        yield lines, "+".join(names)


def theirs(peer, few, own_average, lines):
    """Solve models one by one; populations and blends, NaN where it fails, seconds."""
    populations, intensities, seconds = [], [], []
    for row in zip(*few, strict=True):
        source = peer.source(*row)
        if own_average:
            by_segments(source)
        failed = False
        try:
            _, time = helpers.cpu_time(source.solve_radiative_transfer)
            seconds.append(time[0])
        except (RuntimeError, AssertionError, np.linalg.LinAlgError):
            failed = True
        n_levels = source.emitting_molecule.n_levels
        populations.append([np.nan] * n_levels if failed else source.level_pop.copy())
        intensities.append([np.nan if failed else brightness(source, b) for b in lines])
    return np.array(populations), np.array(intensities), np.array(seconds)


def compare(species, n_peer, batch, repeats):
    """Return rows of the tables for one species."""
    molecule = molecule_of(species)
    partner = "H2" if species in ("HCN-hfs", "CN") else "p-H2"
    lines, names = zip(*blends(molecule, species), strict=True)
    model = RadexModel(
        names, partners=(partner,), molecules={species: molecule}, overlap="include"
    )
    apart = RadexModel(**model.get_params() | {"overlap": "ignore"})
    density_name = model.parameter_names[1]

    def solve(radex, gas):
        temperature, density, column, width = gas
        own = {"line_width": width} if radex.overlap == "include" else {}
        column = column / width
        given = {density_name: density, "column_density": column, **own}
        return radex.solve(species, temperature, **given)

    few, many = gas(species, n_peer, 0), gas(species, batch, 1)
    ours = solve(model, few)
    theta = np.column_stack([*few, np.ones(n_peer)])
    seen, seen_apart = model.predict(theta), apart.predict(theta)
    # what is seen by the sum of lines that are apart, the answer of RADEX
    solution = solve(apart, few)
    added = [solution.radiation_temperature[:, b].sum(axis=1) for b in lines]
    added = np.array(added).T * GAUSSIAN_AREA * few[3][:, None]
    level = ours.populations > 1e-6
    sane = ours.tau.min(axis=1) > -1e-3
    peer = Peer(molecule, [partner])
    agreement = []
    for own_average in (False, True):
        x, intensity, seconds = theirs(peer, few, own_average, lines)
        difference = np.where(level, np.abs(ours.populations / x - 1), 0.0).max(axis=1)
        bright = np.abs(seen / intensity - 1).max(axis=1)
        settled = np.isfinite(x).all(axis=1) & sane
        agreement.append(
            [
                species,
                "segments" if own_average else "as it is",
                int(settled.sum()),
                *(f"{np.quantile(difference[settled], q):.1e}" for q in (0.5, 0.9, 1)),
                *(f"{np.quantile(bright[settled], q):.1e}" for q in (0.5, 0.9, 1)),
                f"{int((~np.isfinite(x).all(axis=1)).sum())}",
            ]
        )
        if not own_average:
            their_time = 1e3 * np.median(seconds)
    default, include, ratio = helpers.side_by_side(
        lambda: solve(apart, many), lambda: solve(model, many), repeats
    )
    include = 1e3 * include / batch
    times = [
        species,
        f"{molecule.n_levels}, {len(molecule.upper)}",
        helpers.spread(1e3 * default / batch),
        helpers.spread(include),
        helpers.spread(ratio),
        f"{their_time:.3g}",
        helpers.spread(their_time / include),
        f"{int(solve(model, many).converged.sum())} of {batch}",
    ]
    effect = []
    for i, name in enumerate(CASES[species][2]):
        for what, other in (("sum", added), ("default", seen_apart)):
            change = np.abs(other[:, i] / seen[:, i] - 1)
            effect.append([f"{species} {name}", what, *quantiles(change)])
    return agreement, times, effect


def quantiles(values):
    return [f"{100 * np.quantile(values, q):.2g} %" for q in (0.5, 0.9, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=int, default=75, help="models for the peer")
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    agreement, times, effect = [], [], []
    for species in CASES:
        own = compare(species, arguments.peer, arguments.batch, arguments.repeats)
        agreement += own[0]
        times.append(own[1])
        effect += own[2]
    sections = [
        f"Models of each species, {arguments.peer}: temperatures within the rates,"
        " densities of 1e2 to 1e7 cm^-3, column densities of 3e11 to 3e15 cm^-2 per"
        " km/s, line widths of 0.3 to 20 km/s, of CN 20 to 300,"
        ' overlap="include". pythonradex with'
        " treat_line_overlap and rectangular profiles of 1.0645 times that width, once"
        " as it is, where it samples profiles until an average changes by less than"
        " 1 %, and once with averages over the segments between the edges of all"
        " lines. Relative differences: the largest of a level above 1e-6, and of the"
        " blends, in models without a line below an optical depth of -0.001.",
        helpers.table(
            [
                "species",
                "pythonradex's averages",
                "models",
                "levels, median",
                "90 %",
                "largest",
                "blends, median",
                "90 %",
                "largest",
                "failed there",
            ],
            agreement,
        ),
        f"CPU time a model, in batches of {arguments.batch}; median (range) of"
        f" {arguments.repeats} runs in turn, and the median of pythonradex's models,"
        " without reading the file.",
        helpers.table(
            [
                "species",
                "levels, lines",
                "default [ms]",
                "include [ms]",
                "ratio",
                "pythonradex [ms]",
                "ratio",
                "settled",
            ],
            times,
        ),
        'By how much other answers are off that of overlap="include": the sum of'
        " components that are taken to be apart, and the default, which adds their"
        " profiles but lets them excite the molecule as if they were apart.",
        helpers.table(["blend", "", "median", "90 %", "largest"], effect),
    ]
    helpers.write("overlap", sections, "numpy", "pythonradex")


if __name__ == "__main__":
    main()
