"""RadexModel with any collision partner: agreement with pythonradex, and speed."""

import argparse
import os
import subprocess
import sys
import tempfile
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
        """Return populations, NaN where it fails; keep the lowest optical depths."""
        populations, self.lowest = [], []
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
                self.lowest.append(self.source.tau_nu0_individual_transitions.min())
            except (RuntimeError, AssertionError, np.linalg.LinAlgError):
                n_levels = self.source.emitting_molecule.n_levels
                populations.append(np.full(n_levels, np.nan))
                self.lowest.append(np.nan)
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


def program(tau):
    """Return what Fortran RADEX computes for its expanding sphere, its steps included.

    pythonradex changes formula at half the optical depths at which the program does.
    """
    radius = np.maximum(tau, -1.0) / 2
    size = np.maximum(np.abs(radius), 1e-30)
    middle = -np.expm1(-2.34 * radius) / np.where(radius == 0, 1.0, 2.34 * radius)
    thick = np.maximum(size, 7.0)
    last = 0.5 / (thick * np.sqrt(np.log(thick / np.sqrt(np.pi))))
    return np.where(size < 0.01, 1.0, np.where(size < 7, middle, last))


def compare(path, n, folder):
    """Yield what each partner and geometry of a file gives."""
    clean = folder / "clean.dat"
    write_lamda(clean, read_lamda(path, name="X"))
    molecule = read_lamda(clean, name="X")
    for geometry in GEOMETRIES:
        peer = Peer(clean, geometry)
        if geometry == "lvg radex":
            peer.source.geometry.beta = program
        for table in molecule.collisions:
            radex = RadexModel(
                [molecule.line_names[0]],
                partners=(table.partner,),
                geometry=geometry,
                molecules={"X": molecule},
            )
            gas = draw(molecule, [table.partner], n, seed=0)
            mine, theirs = ours(radex, *gas), peer(*gas)
            x = mine.populations
            solved = np.isfinite(theirs).all(axis=1)
            plain = solved & mine.converged & (mine.tau.min(axis=1) > -1e-3)
            difference = np.where(x > 1e-6, np.abs(theirs / x - 1), 0).max(axis=1)
            residuals = [
                [
                    residual(
                        molecule,
                        populations[i],
                        gas[0][i],
                        {name: values[i] for name, values in gas[1].items()},
                        gas[2][i],
                        geometry,
                    )
                    for populations in (x, theirs)
                ]
                for i in np.flatnonzero(plain & (difference > 1e-3))
            ]
            lowest = np.array(peer.lowest)[plain & (difference > 1e-3)]
            yield {
                "file": path.name,
                "partner": table.partner,
                "geometry": geometry,
                "settled": int(mine.converged.sum()),
                "failed": int((~solved).sum()),
                "difference": difference[plain],
                "maser": int((lowest < -1).sum()),
                "residuals": np.array(residuals).reshape(-1, 2),
            }


def agreement(n):
    """Return the tables of the comparison."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(p for f in folders() for p in f.glob("*.dat")):
            rows += compare(path, n, Path(folder))
            print(path.name, flush=True)
    by_file = {}
    for row in rows:
        difference = row["difference"]
        far = int((difference > 1e-3).sum())
        text = "none" if not len(difference) else f"{np.median(difference):.0e}"
        text += f" ({far} of {len(difference)})"
        if row["settled"] < n or row["failed"]:
            text += f", {n - row['settled']} / {row['failed']} not settled"
        by_file.setdefault((row["file"], row["partner"]), []).append(text)
    files = helpers.table(
        ["file", "partner", *GEOMETRIES], [[*k, *v] for k, v in by_file.items()]
    )
    summary = []
    for geometry in GEOMETRIES:
        own = [row for row in rows if row["geometry"] == geometry]
        difference = np.concatenate([row["difference"] for row in own])
        residuals = np.concatenate([row["residuals"] for row in own])
        summary.append(
            [
                geometry,
                len(difference),
                f"{np.median(difference):.1e}",
                f"{np.quantile(difference, 0.9):.1e}",
                len(residuals),
                sum(row["maser"] for row in own),
                f"{residuals[:, 0].max(initial=0):.0e}",
                f"{residuals[:, 1].min(initial=np.inf):.0e}",
                int((residuals[:, 0] < residuals[:, 1]).sum()),
                sum(n - row["settled"] for row in own),
                sum(row["failed"] for row in own),
            ]
        )
    summary = helpers.table(
        [
            "geometry",
            "models",
            "median difference",
            "90 %",
            "beyond 1e-3",
            "with a line below -1 there",
            "their largest imbalance here",
            "their smallest in pythonradex",
            "smaller here in",
            "not settled here",
            "pythonradex failed",
        ],
        summary,
    )
    return summary, files


SPEED = {
    "CO, o- and p-H2": ("co.dat", ("o-H2", "p-H2")),
    "C, H, e, o- and p-H2": ("c.dat", ("H", "e", "o-H2", "p-H2")),
    "OH hyperfine, o- and p-H2": ("oh@hfs.dat", ("o-H2", "p-H2")),
    "CN, H2 and e": ("cn.dat", ("H2", "e")),
}


def speed(batch, peer_models, repeats):
    rows = []
    for name, (file, partners) in SPEED.items():
        path = next(f / file for f in folders() if (f / file).exists())
        molecule = read_lamda(path, name="X")
        radex = RadexModel(
            [molecule.line_names[0]], partners=partners, molecules={"X": molecule}
        )
        temperature, densities, column = draw(molecule, partners, batch, seed=0)
        if "e" in partners:
            densities["e"] = 1e-4 * densities[partners[0]]
        gas = (temperature, densities, column)
        few = (
            temperature[:peer_models],
            {k: v[:peer_models] for k, v in densities.items()},
            column[:peer_models],
        )
        with tempfile.TemporaryDirectory() as folder:
            write_lamda(Path(folder) / "x.dat", molecule)
            peer = Peer(Path(folder) / "x.dat", "uniform sphere")
        solution, theirs = ours(radex, *gas), peer(*few)
        mine, their_time, _ = helpers.side_by_side(
            lambda r=radex, g=gas: ours(r, *g), lambda p=peer, g=few: p(*g), repeats
        )
        mine, their_time = 1e3 * mine / batch, 1e3 * their_time / peer_models
        rows.append(
            [
                name,
                f"{molecule.n_levels}, {len(molecule.upper)}",
                helpers.spread(mine),
                helpers.spread(their_time),
                helpers.spread(their_time / mine),
                f"{int(solution.converged.sum())} of {batch}",
                f"{int(np.isfinite(theirs).all(axis=1).sum())} of {peer_models}",
            ]
        )
    return helpers.table(
        [
            "species and partners",
            "levels, lines",
            "RadexModel [ms]",
            "pythonradex [ms]",
            "ratio",
            "settled",
            "pythonradex",
        ],
        rows,
    )


ALONE = """
import sys, time
import numpy as np
from skastro.datasets import gas_prior
from skastro.molecular import RadexModel
names = ["temperature", "density", "column_density_CO"]
gas = gas_prior(["CO"]).select(names).sample_latin_hypercube(2000, random_state=0).T
radex = RadexModel(["CO(1-0)"])
radex.solve("CO", *gas)
start = time.process_time()
solution = radex.solve("CO", *gas)
print((time.process_time() - start) / 2, solution.populations.tobytes().hex()[-64:])
"""


def against_baseline(baseline, repeats):
    """Time CO in H2 with this and an earlier checkout, in turn."""
    times, ends = {}, {}
    for _ in range(repeats):
        for name, folder in (("now", Path(__file__).parents[1]), ("then", baseline)):
            result = subprocess.run(
                [sys.executable, "-B", "-c", ALONE],
                env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=True,
                cwd="/",
            ).stdout.split()
            times.setdefault(name, []).append(float(result[0]))
            ends[name] = result[1]
    now, then = np.array(times["now"]), np.array(times["then"])
    same = "the same bits" if ends["now"] == ends["then"] else "other bits"
    return (
        f"CO in H2 by default: {helpers.spread(now)} ms a model, at a82c617"
        f" {helpers.spread(then)} ms in turn; {helpers.spread(then / now)} times as"
        f" fast, {same} in the last populations."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20, help="a file and geometry")
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--peer", type=int, default=150, help="models for the peer")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--baseline", type=Path, help="a checkout of a82c617")
    arguments = parser.parse_args()
    sections = [
        "CPU time a model, in batches of"
        f" {arguments.batch}; median (range) of {arguments.repeats} runs in turn."
        " Temperatures within the rates, densities of 1e2 to 1e7 cm^-3, electrons 1e-4"
        " of the first partner, the strongest line 0.01 to 100 thick.",
        speed(arguments.batch, arguments.peer, arguments.repeats),
    ]
    if arguments.baseline:
        sections.append(against_baseline(arguments.baseline, arguments.repeats))
    summary, files = agreement(arguments.models)
    sections += [
        "Level populations against pythonradex, of every file with each of its"
        f" partners, {arguments.models} models each: the largest relative difference of"
        " a level above 1e-6, in models without a line below an optical depth of"
        " -0.001. Where it is beyond 1e-3, the imbalance of the worst level, as a part"
        " of its gross rate, in long double: the smaller is right. For `lvg radex`"
        " pythonradex is given the formulae of the Fortran program: its own change at"
        " optical depths of 0.001 and 7 where the program's do at 0.02 and 14.",
        summary,
        "Below an optical depth of -1 pythonradex takes the escape probability at the"
        " depth's magnitude, with which an inverted line traps its own photons: its"
        " equations have solutions, with lines at -10 and less, that are none of"
        " radiative transfer, where a gas without any inversion solves them too. The"
        " rest part by less than 0.5 %: pythonradex stops at a mean change of 1e-6 of"
        " the excitation temperatures of thick lines, which may creep, and with"
        " `lvg radex` a line may lie at a step of the program, which is a ramp here.",
        "By file: median difference (models beyond 1e-3 of those compared); models not"
        " settled here / failed in pythonradex.",
        files,
    ]
    helpers.write("partners", sections, "numpy", "pythonradex")


if __name__ == "__main__":
    main()
