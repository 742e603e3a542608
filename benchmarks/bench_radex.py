"""RadexModel: CPU time per model, and agreement with Fortran RADEX and pythonradex."""

import argparse
from importlib.resources import files

import helpers
import numpy as np
from scipy import constants

from skastro.datasets import gas_prior
from skastro.molecular import RadexModel

FILES = {"CO": "co.dat", "HCN": "hcn.dat", "HCO+": "hco+.dat", "CS": "cs@lique.dat"}


def draw(molecule, n, seed):
    """Draw models from the prior of the thesis."""
    names = ["temperature", "density", f"column_density_{molecule}"]
    space = gas_prior([molecule]).select(names)
    return space.sample_latin_hypercube(n, random_state=seed).T


def pythonradex_solver(molecule):
    from pythonradex.radiative_transfer import Source

    folder = files("skastro.molecular") / "data"
    source = Source(
        datafilepath=str(folder / FILES[molecule]),
        geometry="static sphere",
        line_profile_type="rectangular",
        width_v=1.0645e3,
        use_Ng_acceleration=True,
        treat_line_overlap=False,
        warn_negative_tau=False,
    )

    def background(nu):
        quantum = constants.h * nu / (constants.k * 2.73)
        return 2 * constants.h * nu**3 / constants.c**2 / np.expm1(quantum)

    def solve(temperature, density, column):
        excitation = []
        for T, n, N in zip(temperature, density, column, strict=True):
            if molecule == "CO":
                ratio = min(3.0, 9 * np.exp(-170.6 / T))
                colliders = {
                    "para-H2": n * 1e6 / (1 + ratio),
                    "ortho-H2": n * 1e6 * ratio / (1 + ratio),
                }
            else:
                colliders = {"H2": n * 1e6}
            source.update_parameters(
                N=N * 1e4,
                Tkin=T,
                collider_densities=colliders,
                ext_background=background,
                T_dust=0,
                tau_dust=0,
            )
            try:
                source.solve_radiative_transfer()
                excitation.append(source.Tex[:10].copy())
            except (RuntimeError, AssertionError):
                excitation.append(np.full(10, np.nan))
        return np.array(excitation)

    return solve


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--peer", type=int, default=150, help="models for the peer")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--many", type=int, default=20_000)
    arguments = parser.parse_args()

    speed, agreement = [], []
    for molecule in FILES:
        model = RadexModel([f"{molecule}(1-0)"])
        gas = draw(molecule, arguments.batch, seed=0)
        model.solve(molecule, *gas)
        theirs = pythonradex_solver(molecule)
        few = gas[:, : arguments.peer]
        excitation = theirs(*few)  # compiles
        ours, peer, _ = helpers.side_by_side(
            lambda m=model, s=molecule, g=gas: m.solve(s, *g),
            lambda s=theirs, g=few: s(*g),
            arguments.repeats,
        )
        ours, peer = 1e3 * ours / arguments.batch, 1e3 * peer / arguments.peer
        solution = model.solve(molecule, *few)
        thick = np.abs(solution.tau[:, :10]) > 0.01
        valid = np.isfinite(excitation) & thick & (solution.tau[:, :10] > 0)
        difference = np.abs(excitation / solution.excitation_temperature[:, :10] - 1)
        many = model.solve(molecule, *draw(molecule, arguments.many, seed=1))
        hottest = (many.radiation_temperature[:, :10].max(axis=1)).max()
        speed.append(
            [
                molecule,
                helpers.spread(ours),
                helpers.spread(peer),
                helpers.spread(peer / ours),
                f"{np.median(difference[valid]):.1e}",
                f"{int(np.isnan(excitation).any(axis=1).sum())} of {len(excitation)}",
                f"{int((~many.converged).sum())} of {arguments.many}",
                f"{hottest:.0f}",
            ]
        )
    sections = [
        "CPU time per model [ms], in batches of "
        f"{arguments.batch}; median (range). The prior is Table 2.2 of the thesis.",
        helpers.table(
            [
                "molecule",
                "RadexModel",
                "pythonradex",
                "ratio",
                "median rel. difference of T_ex",
                "pythonradex failed",
                "RadexModel not converged",
                "highest T_R [K]",
            ],
            speed,
        ),
    ]
    path = helpers.SHARED / "chem" / "radex_fortran_reference.npz"
    if path.exists():
        with np.load(path) as reference:
            for molecule in FILES:
                T, n, N = reference[f"{molecule}_X"].T
                model = RadexModel([f"{molecule}(1-0)"])
                solution = model.solve(molecule, T, 10**n, 10**N)
                ours = solution.radiation_temperature[:, :10]
                row = [molecule, f"{int(solution.converged.sum())} of {len(T)}"]
                for key in ("TR", "TR_batched"):
                    theirs = reference[f"{molecule}_{key}"]
                    counts = theirs > 1e-3
                    if key == "TR":
                        counts &= reference[f"{molecule}_valid"][:, None]
                    error = np.abs(ours[counts] / theirs[counts] - 1)
                    row += [f"{q:.1e}" for q in np.quantile(error, [0.5, 0.99])]
                    row.append(f"{error.max():.1e}")
                agreement.append(row)
        sections += [
            "Relative difference of T_R where it is above 1 mK: from Fortran RADEX"
            " where that is valid, and from a second batched solution.",
            helpers.table(
                [
                    "molecule",
                    "converged",
                    "Fortran: median",
                    "99 %",
                    "worst",
                    "batched: median",
                    "99 %",
                    "worst",
                ],
                agreement,
            ),
        ]
    helpers.write("radex", sections, "numpy", "pythonradex")


if __name__ == "__main__":
    main()
