"""What fitted emulators predict: outputs of all members, and how they change."""

import numpy as np


def divisor(scale):
    """Return a scale to divide by: 1 where it is 0, for a constant column."""
    return np.where(scale > 0, scale, 1.0)


def scaled(emulator, X):
    """Return inputs as networks take them; constant ones are only shifted."""
    scale = divisor(emulator.feature_scale_).astype(X.dtype)
    return (X - emulator.feature_shift_.astype(X.dtype)) / scale


def outputs(emulator, X):
    """Return the outputs of each member, (n_members, n_samples, n_outputs).

    Parameters
    ----------
    emulator : EmulatorRegressor
        Fitted.
    X : ndarray of shape (n_samples, n_features)
        Inputs.

    Returns
    -------
    y : ndarray of shape (n_members, n_samples, n_outputs)
        In the precision of X.
    """
    Z = scaled(emulator, X)
    if emulator._stacked is not None and emulator.nets_[0][0].device == "cpu":
        y = emulator._stacked(Z)
    else:
        from ._networks import evaluate

        Z = Z.astype(np.float32)
        y = np.stack(
            [
                evaluate(net.module_, Z, net.device)
                for nets in emulator.nets_
                for net in nets
            ]
        ).astype(X.dtype)
    if len(emulator.nets_[0]) > 1:
        y = y[..., 0].reshape(len(emulator.nets_), emulator.n_outputs_, len(X))
        y = np.swapaxes(y, 1, 2)
    y *= emulator.target_scale_.astype(X.dtype)
    y += emulator.target_shift_.astype(X.dtype)
    return y


def gradients(emulator, X):
    """Return how outputs change with inputs, mean of the members.

    Parameters
    ----------
    emulator : EmulatorRegressor
        Fitted.
    X : ndarray of shape (n_samples, n_features)
        Inputs.

    Returns
    -------
    gradient : ndarray of shape (n_samples, n_outputs, n_features)
        In the precision of X.
    """
    import torch

    gradient = 0.0
    for nets in emulator.nets_:
        jacobians = []
        for net in nets:
            Z = torch.from_numpy(scaled(emulator, X).astype(np.float32)).to(net.device)
            jacobian = torch.func.vmap(torch.func.jacrev(net.module_.eval()))(Z)
            jacobians.append(jacobian.detach().cpu().numpy())
        gradient = gradient + np.concatenate(jacobians, axis=1)
    gradient = gradient / len(emulator.nets_)
    scale = emulator.target_scale_[:, None] / divisor(emulator.feature_scale_)
    return (gradient * scale).astype(X.dtype)
