"""RSCA from few clusters: doppelganger rates on semi-real and on real abundances."""

import argparse
import warnings

import helpers
import numpy as np
from bench_rsca import mitschang
from scipy.spatial.distance import cdist, pdist
from sklearn.pipeline import make_pipeline

from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_rate
from skastro.model_selection import cross_val_doppelganger_rates

SIZES = (3, 5, 8)
K = 20
#: 1-sigma errors that abundances are given [dex]: [Fe/H], and the others in turn.
ERRORS = np.r_[0.03, np.linspace(0.02, 0.1, 15)]


def stars(seed):
    """Return representations of 1,000 field stars and 24 clusters, and the clusters."""
    rng = np.random.default_rng(1000 + seed)
    X, sigma, y, labels = helpers.semireal_apogee().open_clusters(
        n_clusters=24, n_cluster_stars=240, n_field=1000, seed=seed
    )
    kept = y < 0
    for cluster in range(24):
        kept[np.flatnonzero(y == cluster)[: rng.integers(2, 7)]] = True
    X, sigma, y, labels = X[kept], sigma[kept], y[kept], labels[kept]
    columns = [c for c in labels if c.endswith("_fe") or c == "fe_h"]
    abundances = labels[columns].to_numpy()
    abundances = abundances + rng.normal(size=abundances.shape) * ERRORS
    ppca = ProbabilisticPCA(K, with_covariance=True, random_state=0)
    ppca.fit(X[y < 0], sigma=sigma[y < 0])
    packed = ppca.transform(X, sigma=sigma).astype(float)
    return {"abundances": abundances, "components": packed}, y


def cross_validated(X, y, aware=False, **options):
    estimator = RSCA(with_covariance=aware, **options)
    return cross_val_doppelganger_rates(estimator, X, y).global_rate


def semireal_rates(seeds, many):
    """Return rates by representation, number of clusters, method and seed."""
    rates = {}
    for seed in seeds:
        data, y = stars(seed)
        sizes = (*SIZES, 24) if seed in many else SIZES
        for n in sizes:
            chosen = np.random.default_rng([seed, n]).choice(24, n, replace=False)
            rows = (y < 0) | np.isin(y, chosen)
            for kind, packed in data.items():
                x, labels = packed[rows], y[rows]
                values = x[:, :K]
                scaled = values / values[labels < 0].std(axis=0)
                found = {
                    "raw": doppelganger_rate(values, labels),
                    "scaled": doppelganger_rate(scaled, labels),
                    "RSCA": cross_validated(values, labels, shrinkage="auto"),
                }
                if n == 24:
                    found["RSCA, no shrinkage"] = cross_validated(values, labels)
                if kind == "components":
                    found["error-aware"] = cross_validated(
                        x, labels, True, shrinkage="auto"
                    )
                    if n == 24:
                        aware = cross_validated(x, labels, True)
                        found["error-aware, no shrinkage"] = aware
                for name, rate in found.items():
                    rates.setdefault((kind, n, name), []).append(rate)
                print(seed, n, kind, found, flush=True)
    return rates


def semireal_table(rates):
    rows = []
    for (kind, n, name), values in rates.items():
        values, scaled = np.array(values), np.array(rates[kind, n, "scaled"])
        above = np.count_nonzero(values > 1.1 * scaled)
        rows.append(
            [
                kind,
                n,
                len(values),
                name,
                f"{values.mean():.4f}",
                f"{values.mean() / scaled.mean():.2f}",
                f"{(values / np.maximum(scaled, 1e-3)).max():.2f}",
                above,
            ]
        )
    header = ["", "clusters", "seeds", "", "mean rate", "to scaled", "worst seed"]
    return helpers.table([*header, "seeds above 1.1"], rows)


class Gaussian:
    """The field's Gaussian, which fills gaps by what is likely beside the rest."""

    def __init__(self, field):
        self.mean, self.covariance = field.mean(axis=0), np.cov(field, rowvar=False)

    def fill(self, X, rng=None):
        """Return X with conditional means, or with draws, where it has gaps."""
        X = X.copy()
        C = self.covariance
        for row in X:
            gap = np.isnan(row)
            if not gap.any():
                continue
            gain = C[gap][:, ~gap] @ np.linalg.inv(C[~gap][:, ~gap])
            expected = self.mean[gap] + gain @ (row - self.mean)[~gap]
            if rng is not None:
                left = C[gap][:, gap] - gain @ C[~gap][:, gap]
                expected = rng.multivariate_normal(expected, left)
            row[gap] = expected
        return X


def through_gaps(members, field, fill, map_, n_field=1000):
    """Return the rate where a field star lacks what the member lacks."""
    field = field[:: len(field) // n_field]
    A = map_(fill(members))
    limit = np.median(pdist(A)) * (1 + 1e-9)
    near, gaps = [], np.isnan(members)
    for gap in np.unique(gaps, axis=0):
        B = map_(fill(np.where(gap, np.nan, field)))
        near.append(cdist(A[(gaps == gap).all(axis=1)], B).ravel() <= limit)
    return np.concatenate(near).mean()


def mitschang_table():
    """Return rates of real clusters, whose gaps are those of the papers."""
    field, members, cluster = mitschang()
    X = np.concatenate([field, members])
    y = np.concatenate([np.full(len(field), "-1"), cluster])
    gaussian = Gaussian(field)
    scale = field.std(axis=0)
    several = [c for c in np.unique(cluster) if (cluster == c).sum() > 1]
    sizes = [(cluster == c).sum() for c in several]
    mean = field.mean(axis=0)

    def mean_fill(Z):
        return np.where(np.isnan(Z), mean, Z)

    def judged(fill, map_of):
        """As it is mostly done, and with the gaps of members in field stars too."""
        every, honest = [], []
        for c in several:
            own = members[cluster == c]
            map_ = map_of(c)
            A, B = map_(fill(own)), map_(field)
            limit = np.median(pdist(A)) * (1 + 1e-9)
            every.append((cdist(A, B) <= limit).mean())
            honest.append(through_gaps(own, field, fill, map_))
        return np.average(every, weights=sizes), np.average(honest, weights=sizes)

    rows = []

    def add(name, fill, map_of):
        rows.append([name, *(f"{rate:.4f}" for rate in judged(fill, map_of))])
        print(rows[-1], flush=True)

    for name, fill in (("the mean", mean_fill), ("likely values", gaussian.fill)):
        add(f"raw, gaps filled by {name}", fill, lambda c: lambda Z: Z)
        add(f"scaled, gaps filled by {name}", fill, lambda c: lambda Z: Z / scale)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([field, gaussian.fill(members, rng)])
    for name, divisor in (("raw", 1.0), ("scaled", scale)):
        rate = doppelganger_rate(drawn / divisor, y)
        rows.append([f"{name}, gaps filled by draws", f"{rate:.4f}", ""])
    for shrinkage in (None, "auto"):
        for name, fill in (("the mean", mean_fill), ("likely values", gaussian.fill)):
            filled = np.concatenate([field, fill(members)])

            def map_of(c, filled=filled, shrinkage=shrinkage):
                rest = y != c
                rsca = RSCA(shrinkage=shrinkage)
                return rsca.fit(filled[rest], y[rest]).transform

            add(f"RSCA({shrinkage!r}), gaps filled by {name}", fill, map_of)
    # the field as the clusters are: each star with the gaps of one of their members
    gaps = np.isnan(members)[rng.integers(len(members), size=len(field[::3]))]
    like = gaussian.fill(np.where(gaps, np.nan, field[::3]))
    filled = np.concatenate([like, gaussian.fill(members)])
    labels = np.concatenate([np.full(len(like), "-1"), cluster])
    for shrinkage in (None, "auto", 0.5, 1.0):

        def map_of(c, shrinkage=shrinkage):
            rest = labels != c
            rsca = RSCA(shrinkage=shrinkage)
            return rsca.fit(filled[rest], labels[rest]).transform

        rate = judged(gaussian.fill, map_of)[1]
        name = f"RSCA({shrinkage!r}), likely values, of a field with gaps"
        rows.append([name, "", f"{rate:.4f}"])
        print(rows[-1], flush=True)
    for k in (4, 6):
        for aware in (False, True):
            before = ProbabilisticPCA(k, with_covariance=aware, random_state=0)
            for shrinkage in (None, "auto"):
                metric = RSCA(with_covariance=aware, shrinkage=shrinkage)
                pipeline = make_pipeline(before, metric)
                rate = cross_val_doppelganger_rates(
                    pipeline, np.where(np.isnan(X), np.nan, X / scale), y
                ).global_rate
                name = f"PPCA {k}{', error-aware' if aware else ''}"
                rows.append([f"{name}, RSCA({shrinkage!r})", f"{rate:.4f}", ""])
                print(rows[-1], flush=True)
    return helpers.table(["", "rate", "field stars with the members' gaps"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--many", type=int, default=3, help="seeds with 24 clusters")
    args = parser.parse_args()
    if not (helpers.SHARED / "stellar").is_dir() or helpers.semireal_apogee() is None:
        print("skipped: the data of the semi-real sets are not here")
        return
    warnings.filterwarnings("ignore", message=".*of one star are left out")
    real = mitschang_table()
    rates = semireal_rates(range(args.seeds), range(args.many))
    sections = [
        "## Semi-real clusters",
        "1,000 field stars, clusters of 2 to 6 stars, leave one cluster out. Abundances"
        " are 16, with independent errors of 0.02 to 0.1 dex; components are"
        f" {K} of `ProbabilisticPCA` with errors, of spectra. RSCA has"
        ' `shrinkage="auto"`. A seed\'s ratio has a denominator of 0.001 at least.',
        semireal_table(rates),
        "## Real clusters with gaps (Mitschang et al. 2012)",
        "291 stars in 30 clusters, 10 elements, 36 % missing; 9,583 field stars of"
        " APOGEE DR12, complete. Whole columns are missing in whole clusters. Filled by"
        " a constant, siblings are exactly alike in these, and every field star, which"
        " was measured, is not: the second column takes from each field star what the"
        " member lacks, and fills both in the same way (every ninth field star)."
        " A field with gaps has those of random members, and RSCA learns from it.",
        real,
    ]
    helpers.write("few_clusters", sections, "scikit-learn", "numpy")


if __name__ == "__main__":
    main()
