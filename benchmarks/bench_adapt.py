"""Models of one line list, adapted to a survey whose oscillator strengths differ.

Fits see spectra of models; a few hundred stars of the survey adapt them, and others, in
pairs, are ranked. Abundances are read linearly from the latents of the models.
"""

import argparse

import helpers
import numpy as np
from sklearn.linear_model import LinearRegression

from skastro.datasets import make_twin_spectra
from skastro.disentangling import ConditionalFactorAnalysis, PolyDisentangler
from skastro.metrics import twin_recovery_scorer

MODELS = {
    "PolyDisentangler": PolyDisentangler(random_state=0),
    "ConditionalFactorAnalysis": ConditionalFactorAnalysis(
        loading_degree=3, with_covariance=True, random_state=0
    ),
}


def alone(n_stars, seed, **kwargs):
    """Return stars without twins."""
    data = make_twin_spectra(n_stars, random_state=seed, **kwargs)
    return {key: data[key][::2] for key in ("X", "u", "abundances")}


def latents(model, data):
    Z = model.transform(data["X"], conditions=data["u"])
    return Z[:, : len(model.latent_metric_)]


def judge(model, data, readout):
    """Return the share of recovered twins and the median error of [X/Fe]."""
    found = twin_recovery_scorer(model, data["X"], data["y"], conditions=data["u"])
    error = readout.predict(latents(model, data)) - data["abundances"][:, 1:]
    return found, np.median(np.sqrt(np.mean(error**2, axis=0)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-stars", type=int, default=3000)
    parser.add_argument("--n-pairs", type=int, default=1000)
    parser.add_argument("--n-survey", type=int, nargs="*", default=[30, 100, 300, 1000])
    parser.add_argument("--errors", type=float, nargs="*", default=[0.1, 0.3])
    args = parser.parse_args()
    survey = alone(args.n_stars, 3)
    test = make_twin_spectra(args.n_pairs, random_state=2)
    own = alone(max(args.n_survey), 5)
    models = {e: alone(args.n_stars, 1, log_gf_error=e) for e in args.errors}
    sections = []
    for name, model in MODELS.items():
        rows = []

        def note(what, n, fitted, readout, rows=rows):
            found, error = judge(fitted, test, readout)
            terms = getattr(fitted, "n_adapted_terms_", "")
            rows.append([what, n, terms, f"{found:.3f}", f"{error:.3f}"])
            print(*rows[-1], flush=True)

        for error, data in {0.0: survey, **models}.items():
            model.fit(data["X"], conditions=data["u"])
            readout = LinearRegression()
            readout.fit(latents(model, data), data["abundances"][:, 1:])
            if not error:
                note("trained in place", "", model, readout)
                continue
            note(f"trained on models, {error:g} dex off", "", model, readout)
            for n in args.n_survey:
                adapted = model.adapt(own["X"][:n], conditions=own["u"][:n])
                note("… adapted", n, adapted, readout)
        header = ["", "stars of the survey", "terms", "no false twin"]
        header.append("median error of [X/Fe], dex")
        sections.append(f"## {name}\n\n" + helpers.table(header, rows))
    helpers.write("adapt", sections, "scikit-learn")


if __name__ == "__main__":
    main()
