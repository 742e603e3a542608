"""The networks of the thesis at their published widths: stars a second in training.

On a GPU, ``--device cuda``, with the fraction of the peak that ``--peak-tflops`` gives.
"""

import argparse
import time

import helpers
import numpy as np
import torch
from skorch.callbacks import Callback

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    PUBLISHED_FACTOR_PARAMETERS,
    PUBLISHED_FADER_PARAMETERS,
    FactorDisentangler,
    FaderDisentangler,
)
from skastro.preprocessing import append_conditions

#: Stars and epochs of the thesis' training.
STARS, EPOCHS = 50_000, 20_000


def seconds_per_epoch(kind, parameters, X, args):
    """Return seconds of each further epoch, after a first one, and weights."""
    ends = []

    class Clock(Callback):
        def on_epoch_end(self, net, **kwargs):
            if str(net.device).startswith("cuda"):
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    model = kind(slice(-3, None), **parameters)
    model.set_params(
        device=args.device,
        batch_size=args.batch_size,
        max_epochs=args.n_epochs + 1,
        callbacks=[Clock()],
        random_state=0,
    ).fit(X)
    networks = model.net_.module_, model.net_.adversary_
    n_weights = sum(p.numel() for m in networks for p in m.parameters())
    return np.diff(ends), n_weights


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n-stars", type=int, default=512)
    parser.add_argument("--n-epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--peak-tflops", type=float)
    args = parser.parse_args()
    data = make_twin_spectra(args.n_stars // 2, snr=None, random_state=0)
    X = append_conditions(data.X, data.u)
    rows = []
    for kind, parameters in (
        (FaderDisentangler, PUBLISHED_FADER_PARAMETERS),
        (FactorDisentangler, PUBLISHED_FACTOR_PARAMETERS),
    ):
        seconds, n_weights = seconds_per_epoch(kind, parameters, X, args)
        rate = len(X) / seconds
        row = [
            kind.__name__,
            f"{n_weights / 1e6:.1f} M",
            helpers.spread(rate, 3),
            f"{STARS * EPOCHS / np.median(rate) / 86400:.0f} days",
        ]
        if args.peak_tflops:
            # a weight takes two operations forward and four backward
            share = 6 * n_weights * np.median(rate) / (args.peak_tflops * 1e12)
            row.append(f"{share:.2f}")
        rows.append(row)
    header = [
        "published",
        "weights",
        "stars/s",
        f"{EPOCHS:,} epochs of {STARS:,} stars",
    ]
    if args.peak_tflops:
        header.append("of the peak")
    helpers.write(
        f"published_networks_{args.device}", [helpers.table(header, rows)], "torch"
    )


if __name__ == "__main__":
    main()
