"""Nested searches with stock scikit-learn: held-out rates with errors and without."""

import argparse
import time
import warnings

import helpers
import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters, make_twin_spectra
from skastro.decomposition import ProbabilisticPCA
from skastro.disentangling import ConditionalFactorAnalysis
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_scorer, twin_recovery_scorer
from skastro.model_selection import ClusterKFold, TwinKFold


def likeness(aware):
    """Return components and metric, aware of errors or not."""
    components = ProbabilisticPCA(with_covariance=aware, random_state=0)
    components.set_fit_request(sigma=aware).set_transform_request(sigma=aware)
    return make_pipeline(components, RSCA(with_covariance=aware))


def disentangler(aware):
    """Return factor analysis given labels, aware of errors or not."""
    model = ConditionalFactorAnalysis(
        degree=3, loading_degree=1, with_covariance=aware, random_state=0
    )
    model.set_fit_request(sigma=aware, conditions=True)
    return model.set_transform_request(sigma=aware, conditions=True)


def nested(model, grid, scorer, folds, X, y, metadata, n_jobs):
    """Return held-out scores, chosen parameters, and seconds, of a nested search."""
    inner = GridSearchCV(model, grid, scoring=scorer, cv=folds(3))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = cross_validate(
            inner,
            X,
            y,
            scoring=scorer,
            cv=folds(4),
            params=metadata,
            n_jobs=n_jobs,
            return_estimator=True,
            error_score="raise",
        )
    chosen = [next(iter(e.best_params_.values())) for e in found["estimator"]]
    return found["test_score"], chosen, time.perf_counter() - start


def uneven(shape, rng, low, high):
    """Return errors that differ from star to star and from bin to bin."""
    stars = rng.uniform(np.log(low), np.log(high), (shape[0], 1))
    bins = rng.uniform(np.log(0.5), np.log(2), (1, shape[1]))
    return np.exp(stars + bins)


def clusters(seed, args):
    """Compare metrics of open clusters."""
    data = make_open_clusters(
        20, 120, n_field=args.field, n_features=300, snr=60, random_state=seed
    )
    grid = {"probabilisticpca__n_components": [4, 8, 12]}
    for aware in (False, True):
        scorer = doppelganger_scorer.set_score_request(sigma=aware)
        metadata = {"sigma": data.sigma} if aware else {}
        yield nested(
            likeness(aware),
            grid,
            scorer,
            ClusterKFold,
            data.X,
            data.y,
            metadata,
            args.n_jobs,
        )


def twins(seed, args):
    """Compare latents of twins, some of whose spectra are poor."""
    rng = np.random.default_rng(seed)
    data = make_twin_spectra(args.pairs, snr=None, random_state=seed)
    bins = np.sort(np.argsort(-data.X.std(axis=0))[:500])
    sigma = uneven((len(data.X), 500), rng, 0.003, 0.03)
    X = data.X[:, bins] + sigma * rng.normal(size=sigma.shape)
    for aware in (False, True):
        scorer = twin_recovery_scorer.set_score_request(sigma=aware, conditions=True)
        metadata = {"conditions": data.u} | ({"sigma": sigma} if aware else {})
        yield nested(
            disentangler(aware),
            {"n_components": [6, 12]},
            scorer,
            TwinKFold,
            X,
            data.y,
            metadata,
            args.n_jobs,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--field", type=int, default=1500)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args()
    sections = []
    for title, run, unit in [
        ("ProbabilisticPCA and RSCA: doppelganger rate (less is better)", clusters, -1),
        (
            "ConditionalFactorAnalysis: stars whose twin is nearest (more is better)",
            twins,
            1,
        ),
    ]:
        rows = []
        with sklearn.config_context(enable_metadata_routing=True):
            for seed in range(args.seeds):
                for name, (scores, chosen, seconds) in zip(
                    ("without", "with"), run(seed, args), strict=True
                ):
                    rows.append(
                        (
                            seed,
                            name,
                            f"{unit * scores.mean():.4f}",
                            helpers.spread(unit * scores),
                            ", ".join(map(str, chosen)),
                            f"{seconds:.0f}",
                        )
                    )
        header = ("seed", "errors", "held out, mean", "outer folds", "chosen", "s")
        sections += [f"## {title}", helpers.table(header, rows)]
    sections.insert(
        0,
        "GridSearchCV over the number of components, three folds, inside"
        f" cross_validate, four folds, n_jobs={args.n_jobs}; errors travel by metadata"
        " routing.",
    )
    helpers.write("searches", sections, "scikit-learn")


if __name__ == "__main__":
    main()
