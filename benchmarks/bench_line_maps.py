"""Factorisations of line maps: how right, and how fast, beside scikit-learn's NMF.

The two scenes of the thesis, ten noise seeds each.
"""

import helpers  # noqa: I001
import argparse
import time
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF, LineMapNMFEnsemble
from skastro.metrics import component_mae
from skastro.model_selection import choose_n_components

SCENES = "protostellar", "high_z"


def mae(data, components):
    return component_mae(data.components, components)


def members(scene, n_members):
    """Return errors of the members of ensembles, by the penalty of their maps."""
    data = make_line_maps(scene, random_state=0)
    rows = []
    for name, params in (
        ("none", {"alpha_maps": 0.0}),
        ("maps, 1e-4 to 1e-2", {"alpha_maps": (1e-4, 1e-2)}),
        ("maps, 1e-2 to 1", {"alpha_maps": (1e-2, 1.0)}),
        ("profiles, 1e-4 to 1e-2", {"alpha_maps": 0.0, "alpha_profiles": (1e-4, 1e-2)}),
        ("profiles, 1e-2 to 1", {"alpha_maps": 0.0, "alpha_profiles": (1e-2, 1.0)}),
    ):
        params = {"n_members": n_members, "n_jobs": 2, "random_state": 0, **params}
        model = LineMapNMFEnsemble(**params)
        model.fit(data.X)
        errors = np.array([mae(data, c) for c in model.member_components_])
        low, median, high = np.quantile(errors, [0.1, 0.5, 0.9])
        rows.append(
            [
                name,
                n_members,
                f"{median:.3f}",
                f"{low:.3f}–{high:.3f}",
                f"{np.mean(errors <= 0.1):.2f}",
                f"{np.mean(errors <= 0.2):.2f}",
                f"{mae(data, model.components_):.3f}",
            ]
        )
    header = ["penalty", "members", "median MAE", "10–90 %", "≤ 0.1", "≤ 0.2"]
    return f"## {scene}\n\n" + helpers.table([*header, "consensus MAE"], rows)


def merged():
    """Return which true components two components stand for."""
    data = make_line_maps(random_state=0)
    found = LineMapNMF(2, alpha_maps=1e-3, random_state=0).fit(data.X).components_
    profiles = data.components / data.components.mean(axis=1, keepdims=True)
    found = found / found.mean(axis=1, keepdims=True)
    alike = np.abs(profiles[:, None] - profiles).mean(axis=2)[np.triu_indices(3, 1)]
    nearest = np.abs(profiles[:, None] - found).mean(axis=2).argmin(axis=1)
    return (
        "Two components of the protostellar scene: distances of the true profiles 0–1,"
        f" 0–2, 1–2 are {', '.join(f'{d:.2f}' for d in alike)}; the true components"
        f" 0, 1, 2 are nearest to those found numbered {nearest.tolist()}."
    )


def beyond(n_seeds):
    """Return errors of consensus solutions, and the numbers of components chosen."""
    rows, ranks = [], {}
    for scene in SCENES:
        table = {}
        for seed in range(n_seeds):
            data = make_line_maps(scene, random_state=seed)
            gaps = make_line_maps(scene, blank_fraction=0.2, random_state=seed)
            params = {"n_jobs": 2, "random_state": seed}
            plain = LineMapNMFEnsemble(alpha_maps=0.0, tol=1e-4, **params).fit(data.X)
            errors = [mae(data, c) for c in plain.member_components_]
            one = {"plain runs, median": np.median(errors)}
            for name, model in (
                ("most distinct", LineMapNMFEnsemble(**params)),
                ("least loss", LineMapNMFEnsemble(select="loss", **params)),
            ):
                for what, case in (("", data), (", 20 % missing", gaps)):
                    one[name + what] = mae(case, model.fit(case.X).components_)
            for key, value in one.items():
                table.setdefault(key, []).append(value)
            ranks.setdefault(scene, []).append(
                choose_n_components(
                    LineMapNMF(), data.X, n_jobs=2, random_state=seed
                ).best
            )
        base = np.array(table["plain runs, median"])
        for key, values in table.items():
            rows.append(
                [scene, key, helpers.spread(values, 2)]
                + [helpers.spread(np.array(values) / base, 2)]
            )
    text = helpers.table(["scene", "", "MAE", "over plain median"], rows)
    return (
        f"## Consensus of 100 members, {n_seeds} noise seeds\n\n{text}\n\nNumber of"
        f" components chosen by held-out entries: {ranks}."
    )


def unequal_noise(n_seeds):
    """Return what weights change where one line, each in turn, is 10 times as noisy."""
    rows = []
    for scene in SCENES:
        table = {}
        for seed in range(n_seeds):
            for line in range(10):
                factors = np.ones(10)
                factors[line] = 10
                data = make_line_maps(scene, line_noise=factors, random_state=seed)
                true = data.contributions @ data.components
                params = {"n_jobs": 2, "random_state": seed}
                for name, model in (
                    ("one run", LineMapNMF(solver="hals", random_state=seed)),
                    ("consensus of 100", LineMapNMFEnsemble(**params)),
                ):
                    pair = []
                    for sigma in (None, data.sigma):
                        maps = model.fit_transform(data.X, sigma=sigma)
                        error = (model.inverse_transform(maps) - true) / true.mean(0)
                        pair.append((mae(data, model.components_), error.std()))
                    table.setdefault(name, []).append(pair)
        for name, pairs in table.items():
            pairs = np.array(pairs)
            for i, what in enumerate(("MAE of profiles", "RMS error of all lines")):
                plain, weighted = pairs[:, 0, i], pairs[:, 1, i]
                rows.append(
                    [scene, name, what, f"{plain.mean():.3g}", f"{weighted.mean():.3g}"]
                    + [f"{np.mean(weighted < plain):.2f}"]
                )
    header = ["scene", "", "", "unweighted", "weighted", "weighted is better"]
    return (
        f"## One line ten times as noisy as the others, each in turn, {n_seeds} noise"
        f" seeds\n\n{helpers.table(header, rows)}\n\nRMS errors are of the noiseless"
        " maps, in units of the means of lines."
    )


def wall(function):
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def speed(n_members, repeats):
    data = make_line_maps(random_state=0)
    X = data.X.clip(0)
    X = X / X.mean(axis=0)

    def one(seed, max_iter, tol):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = NMF(3, init="random", random_state=seed, max_iter=max_iter, tol=tol)
            return model.fit(X).reconstruction_err_ ** 2

    rows = []
    params = {"n_jobs": 2, "random_state": 0, "alpha_maps": 0.0}
    LineMapNMFEnsemble(n_members=2, **params).fit(data.X)  # compiles
    for ours, theirs in (((1000, 1e-4), (200, 1e-4)), ((1000, 1e-6), (2000, 1e-6))):
        times, losses = [], []
        n_theirs = n_members if theirs[0] == 200 else n_members // 5
        for _ in range(repeats):
            model = LineMapNMFEnsemble(
                n_members=n_members, max_iter=ours[0], tol=ours[1], **params
            )
            model, t = wall(lambda model=model: model.fit(data.X))
            peer, t_peer = wall(
                lambda n=n_theirs, args=theirs: Parallel(2)(
                    delayed(one)(seed, *args) for seed in range(n)
                )
            )
            times.append((t / n_members, t_peer / n_theirs))
            losses = np.median(model.member_losses_), np.median(peer)
        t, t_peer = np.array(times).T * 1e3
        rows.append(
            [
                f"{n_members} members, tolerance {theirs[1]:g}",
                helpers.spread(t),
                helpers.spread(t_peer),
                helpers.spread(t_peer / t),
                f"{losses[0]:.4f}",
                f"{losses[1]:.4f}",
            ]
        )
    rng = np.random.RandomState(0)
    big = make_line_maps(map_shape=(1000, 1000), random_state=0)
    big.X = np.hstack([big.X, big.X[:, :4] * rng.uniform(0.5, 2, size=4)])
    scaled = big.X.clip(0) / big.X.clip(0).mean(axis=0)
    hals = LineMapNMF(solver="hals", random_state=0)
    _, t = wall(lambda: hals.fit(big.X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = NMF(3, init="random", random_state=0)
        _, t_peer = wall(lambda: peer.fit(scaled))
    rows.append(
        [
            "a map of 1,000 × 1,000 × 14, one run, one core",
            f"{t * 1e3:.0f}",
            f"{t_peer * 1e3:.0f}",
            f"{t_peer / t:.2g}",
            f"{hals.reconstruction_err_**2:.6g}",
            f"{peer.reconstruction_err_**2:.6g}",
        ]
    )
    header = ["", "skastro, ms a run", "scikit-learn", "ratio"]
    return "## Speed, wall, two cores\n\n" + helpers.table(
        [*header, "median loss", "scikit-learn's"], rows
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-members", type=int, default=1000)
    parser.add_argument("--n-seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    sections = [members(scene, args.n_members) for scene in SCENES]
    sections += [merged(), beyond(args.n_seeds), unequal_noise(args.n_seeds)]
    sections += [speed(args.n_members, args.repeats)]
    helpers.write("line_maps", sections, "scikit-learn", "numba")


if __name__ == "__main__":
    main()
