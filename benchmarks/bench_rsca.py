"""RSCA: doppelganger rates on semi-real and real stars, and the evaluation's speed."""

import argparse
import warnings

import helpers
import numpy as np
import pandas as pd
from sklearn import utils
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_rate
from skastro.model_selection import cross_val_doppelganger_rates

K = 30
DIMENSIONS = (1, 2, 3, 4, 7)


class OnClusters(TransformerMixin, BaseEstimator):
    """A supervised metric of another package, fitted to clusters on whitened field."""

    def __init__(self, metric):
        self.metric = metric

    def fit(self, X, y):
        field = y == -1
        self.whiten_ = PCA(whiten=True).fit(X[field])
        self.metric_ = clone(self.metric)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.metric_.fit(self.whiten_.transform(X[~field]), y[~field])
        return self

    def transform(self, X):
        return self.metric_.transform(self.whiten_.transform(X))


def peers():
    """Return metrics of scikit-learn and of metric-learn, which needs a patch."""
    from metric_learn import LFDA, RCA_Supervised, _util

    for name in ("check_array", "check_X_y"):
        original = getattr(utils, name)

        def patched(*args, _original=original, **kwargs):
            if "force_all_finite" in kwargs:
                kwargs["ensure_all_finite"] = kwargs.pop("force_all_finite")
            return _original(*args, **kwargs)

        setattr(_util, name, patched)
    return {
        "scikit-learn LDA (shrunk)": LinearDiscriminantAnalysis(
            solver="eigen", shrinkage="auto"
        ),
        "scikit-learn NCA, 10 dimensions": NeighborhoodComponentsAnalysis(
            10, max_iter=50, random_state=0
        ),
        "metric-learn RCA": RCA_Supervised(n_chunks=60, random_state=0),
        "metric-learn LFDA, 10 dimensions": LFDA(n_components=10, k=3),
    }


def semireal(seed):
    """Return rates of every method on one set of clusters."""
    open_clusters = helpers.semireal_apogee().open_clusters
    X, sigma, y, labels = open_clusters(seed=seed)
    columns = [c for c in labels if c.endswith("_fe") or c == "fe_h"]
    abundances = labels[columns].to_numpy()
    rates = {"true abundances": doppelganger_rate(abundances, y)}

    def judge(name, estimator, Z):
        rates[name] = cross_val_doppelganger_rates(estimator, Z, y).global_rate
        print(seed, name, f"{rates[name]:.5f}", flush=True)

    judge("true abundances, RSCA", RSCA(), abundances)
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    Z = PCA(K, random_state=0).fit_transform(filled).astype(float)
    del filled
    rates["PCA, mean-filled"] = doppelganger_rate(Z, y)
    judge("thesis: RSCA on PCA, mean-filled", RSCA(), Z)
    for k in DIMENSIONS:
        judge(f"thesis, {k} dimension(s)", RSCA(k), Z)
    for name, metric in peers().items():
        judge(name, OnClusters(metric), Z)
    plain = ProbabilisticPCA(K, random_state=0).fit(X)
    judge("missing pixels as missing", RSCA(), plain.transform(X))
    weighted = ProbabilisticPCA(K, random_state=0).fit(X, sigma=sigma)
    judge("with sigma", RSCA(), weighted.transform(X, sigma=sigma))
    Z = weighted.set_params(with_covariance=True).transform(X, sigma=sigma)
    judge("error-aware", RSCA(with_covariance=True), Z)
    for k in (*DIMENSIONS, 10):
        judge(f"error-aware, {k} dimension(s)", RSCA(k, with_covariance=True), Z)
    return rates


def semireal_table(seeds):
    every = [semireal(seed) for seed in seeds]
    thesis = np.array([rates["thesis: RSCA on PCA, mean-filled"] for rates in every])
    rows = []
    for name in every[0]:
        values = np.array([rates[name] for rates in every])
        rows.append(
            [
                name,
                *(f"{value:.5f}" for value in values),
                helpers.spread(values / thesis, 2),
            ]
        )
    header = ["", *(f"seed {seed}" for seed in seeds), "ratio to the thesis' way"]
    return helpers.table(header, rows)


def real_table():
    """Return rates with real abundances as the representation (thesis Fig. 5.4)."""
    stellar = helpers.SHARED / "stellar"
    field = pd.read_csv(stellar / "apogee_dr12_field_abundances.csv.gz")
    clusters = pd.read_csv(stellar / "cannon_dr10_cluster_labels_553.csv")
    open_ones = ["N6819", "M67", "N6791", "N2158", "N2420", "N7789", "N188"]
    clusters = clusters[clusters.cluster.isin(open_ones)]
    first = np.column_stack(
        [
            field.PARAM_M_H,
            field.C_H - field.PARAM_M_H,
            field.N_H - field.PARAM_M_H,
            field.PARAM_ALPHA_M,
        ]
    )
    second = clusters[["m_h", "c_m", "n_m", "alpha_m"]].to_numpy()
    table = [judge_abundances("APOGEE, 7 clusters", first, second, clusters.cluster)]
    first, second, names = mitschang()
    for k in (2, 4, 6):
        for aware in (False, True):
            name = f"Mitschang et al. 2012, gaps, PPCA {k}"
            name += ", error-aware" if aware else ""
            table.append(judge_abundances(name, first, second, names, k, aware))
    header = ["", "clusters", "stars", "missing", "raw", "scaled", "RSCA"]
    return helpers.table(header, table)


def mitschang():
    """Return [Fe/H] and nine [X/Fe] of the field and of 30 clusters, and their names.

    Of elements that both have; gaps are NaN, and stars that have nothing are left out.
    """
    stellar = helpers.SHARED / "stellar"
    field = pd.read_csv(stellar / "apogee_dr12_field_abundances.csv.gz")
    many = pd.read_csv(stellar / "mitschang2012_open_cluster_abundances_wide.csv")
    shared = ["Fe", "Al", "Ca", "Mg", "Mn", "Na", "Ni", "Si", "Ti", "V"]
    first = np.column_stack(
        [field.FE_H] + [field[f"{e.upper()}_H"] - field.FE_H for e in shared[1:]]
    )
    tables = [np.where(np.abs(x) < 10, x, np.nan) for x in (first, many[shared])]
    kept = [~np.isnan(x).all(axis=1) for x in tables]
    names = many.cluster.to_numpy().astype(str)[kept[1]]
    return tables[0][kept[0]], tables[1][kept[1]], names


def judge_abundances(name, field, stars, cluster, n_components=None, aware=False):
    X = np.concatenate([field, stars])
    y = np.concatenate([np.full(len(field), "-1"), np.asarray(cluster).astype(str)])
    X = np.where(np.abs(X) < 10, X, np.nan)
    y = y[keep := ~np.isnan(X).all(axis=1)]
    X = X[keep]
    if n_components is None:
        y, X = y[keep := ~np.isnan(X).any(axis=1)], X[keep]
        before = [FunctionTransformer()]
        raw = X
    else:
        ppca = ProbabilisticPCA(n_components, with_covariance=aware, random_state=0)
        before = [StandardScaler(), ppca]
        # what a user without a missing-value model would do
        raw = np.where(np.isnan(X), np.nanmean(X[y == "-1"], axis=0), X)
    member = y != "-1"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*of one star are left out")
        rate = cross_val_doppelganger_rates(
            make_pipeline(*before, RSCA(with_covariance=aware)), X, y
        )
    scaled = raw / raw[~member].std(axis=0)
    return [
        name,
        len(rate.clusters),
        member.sum(),
        f"{np.isnan(X[member]).mean():.0%}",
        f"{doppelganger_rate(raw, y):.4f}",
        f"{doppelganger_rate(scaled, y):.4f}",
        f"{rate.global_rate:.4f}",
    ]


def thesis_loop(field, stars, labels):
    """The thesis' evaluation, re-implemented as it describes it: refit, all pairs."""
    rates, sizes = [], []
    for left_out in np.unique(labels):
        kept = labels != left_out
        whiten = PCA(whiten=True).fit(field)
        z, l = whiten.transform(stars[kept]), labels[kept]
        centred = np.array(z)
        for c in np.unique(l):
            centred[l == c] -= z[l == c].mean(axis=0)
        rotate = PCA().fit(centred)
        rotated = rotate.transform(z)
        total = free = 0
        for c in np.unique(l):
            members = rotated[l == c]
            mad = np.median(np.abs(members - np.median(members, axis=0)), axis=0)
            total = total + (len(members) - 1) * (1.4826 * mad) ** 2
            free += len(members) - 1
        sigma = np.minimum(np.sqrt(total / free), 0.9999999)
        scale = sigma / np.sqrt(1 - sigma**2)
        a = rotate.transform(whiten.transform(stars[~kept])) / scale
        b = rotate.transform(whiten.transform(field)) / scale
        siblings = [
            np.linalg.norm(a[i] - a[j]) for i in range(len(a)) for j in range(i)
        ]
        A = np.repeat(a[:, None], len(b), axis=1).reshape(-1, b.shape[1])
        B = np.repeat(b[None], len(a), axis=0).reshape(-1, b.shape[1])
        strangers = np.linalg.norm(A - B, axis=1)
        rates.append(np.mean(strangers <= np.median(siblings)))
        sizes.append(len(a))
    return np.array(rates), np.average(rates, weights=sizes)


def speed_table(sizes, repeats):
    rows = []
    for n_field in sizes:
        rng = np.random.default_rng(0)
        inner = np.r_[np.linspace(0.06, 0.5, 6), np.linspace(0.75, 1.1, K - 6)]
        sizes_ = 2 + rng.multinomial(185 - 44, rng.dirichlet(np.full(22, 0.6)))
        labels = np.repeat(np.arange(22), sizes_)
        births = rng.normal(size=(22, K)) * np.sqrt(np.maximum(1 - inner**2, 0))
        stars = births[labels] + rng.normal(size=(185, K)) * inner
        mix = rng.normal(size=(K, K)) + 3 * np.eye(K)
        field, stars = rng.normal(size=(n_field, K)) @ mix, stars @ mix
        X = np.concatenate([field, stars])
        y = np.concatenate([np.full(n_field, -1), labels])
        found = {}

        def ours(X=X, y=y, found=found):
            found["ours"] = cross_val_doppelganger_rates(RSCA(), X, y)

        def theirs(field=field, stars=stars, labels=labels, found=found):
            found["theirs"] = thesis_loop(field, stars, labels)

        mine, other, ratio = helpers.side_by_side(
            ours, theirs, repeats if n_field < 50_000 else 1
        )
        worst = np.abs(found["ours"].rates - found["theirs"][0]).max()
        rows.append(
            [
                f"{n_field:,}",
                *(helpers.spread(values) for values in (mine, other, ratio)),
                f"{worst:.1e}",
            ]
        )
    header = ["field stars", "skastro, CPU s", "thesis' loop, CPU s", "ratio"]
    return helpers.table([*header, "largest difference of a rate"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--field", type=int, nargs="+", default=[20_000, 151_145])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    sections = [
        "## The evaluation: 22 clusters, 185 stars, 30 dimensions",
        "The peer is a re-implementation of the thesis' loop, with the factor of the"
        " MAD.",
        speed_table(args.field, args.repeats),
    ]
    if (helpers.SHARED / "stellar").is_dir() and helpers.semireal_apogee():
        sections += [
            "## Semi-real clusters: global doppelganger rate, leave one cluster out",
            "9,583 field stars with real APOGEE labels and abundances, 22 clusters of"
            " 185 stars, 7,214 pixels, 30 components. metric-learn 0.7.0 does not run"
            " with this scikit-learn: an argument that was renamed is patched.",
            semireal_table(args.seeds),
            "## Real abundances as the representation",
            "Field: 9,583 giants of APOGEE DR12. The clusters are from other releases"
            " and papers, of slightly other scales, which makes every rate too small.",
            real_table(),
        ]
    helpers.write("rsca", sections, "scikit-learn", "numpy", "metric-learn")


if __name__ == "__main__":
    main()
