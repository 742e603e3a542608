"""Multilayer perceptrons: trained in torch, evaluated in numpy."""

import numpy as np
import torch
from scipy.special import erf
from torch import nn

from ..utils.networks import perceptron


class MultilayerPerceptron(nn.Module):
    """Fully connected network with one activation throughout.

    Parameters
    ----------
    n_features, n_outputs : int
        Width of input and output.
    hidden_layer_sizes : sequence of int
        Widths between them.
    activation : {"relu", "silu", "gelu", "selu", "tanh"}
        After every hidden layer.
    """

    def __init__(self, n_features, n_outputs, hidden_layer_sizes, activation):
        super().__init__()
        self.layers = perceptron(n_features, hidden_layer_sizes, n_outputs, activation)

    def forward(self, X):
        """Return the outputs of a batch."""
        return self.layers(X)


def _silu(h):
    # through tanh: no overflow, and vectorised in numpy
    gate = np.tanh(0.5 * h)
    gate += 1.0
    gate *= 0.5
    h *= gate
    return h


def _gelu(h):
    gate = erf(h * 0.7071067811865476)
    gate += 1.0
    gate *= 0.5
    h *= gate
    return h


def _selu(h):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    negative = np.expm1(np.minimum(h, 0.0))
    negative *= scale * alpha
    np.maximum(h, 0.0, out=h)
    h *= scale
    h += negative
    return h


_NUMPY_ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0.0, out=h),
    "silu": _silu,
    "gelu": _gelu,
    "selu": _selu,
    "tanh": lambda h: np.tanh(h, out=h),
}


class StackedNetworks:
    """Several equal perceptrons, evaluated together by plain array arithmetic.

    A network inside a likelihood sees small batches, where torch's bookkeeping costs
    more than the arithmetic; here a batch is one matrix product a layer.

    Parameters
    ----------
    modules : list of MultilayerPerceptron
        Networks of one architecture.
    activation : str
        Their activation.
    """

    #: rows at a time, so that the activations stay in the cache
    _ROWS = 1024

    def __init__(self, modules, activation):
        self.activation = activation
        states = [
            [p.detach().cpu().numpy() for p in module.parameters()]
            for module in modules
        ]
        self._layers = {}
        for dtype in (np.float32, np.float64):
            stacked = [np.stack(p).astype(dtype) for p in zip(*states, strict=True)]
            self._layers[np.dtype(dtype)] = [
                (np.ascontiguousarray(np.swapaxes(weight, 1, 2)), bias[:, None, :])
                for weight, bias in zip(stacked[::2], stacked[1::2], strict=True)
            ]

    def __call__(self, X):
        """Evaluate all networks.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Float32 or float64, which is also the arithmetic's.

        Returns
        -------
        y : ndarray of shape (n_networks, n_samples, n_outputs)
        """
        if len(X) <= self._ROWS:
            return self._forward(X)
        blocks = range(0, len(X), self._ROWS)
        return np.concatenate(
            [self._forward(X[i : i + self._ROWS]) for i in blocks], axis=1
        )

    def _forward(self, X):
        layers = self._layers[X.dtype]
        activate = _NUMPY_ACTIVATIONS[self.activation]
        h = X[None]
        for weight, bias in layers[:-1]:
            h = np.matmul(h, weight)
            h += bias
            h = activate(h)
        weight, bias = layers[-1]
        return np.matmul(h, weight) + bias


def evaluate(module, X, device):
    """Evaluate a network of any kind in torch.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    X : ndarray of float32, of shape (n_samples, n_features)
        Scaled inputs.
    device : str
        Where the network is.

    Returns
    -------
    y : ndarray of float32, of shape (n_samples, n_outputs)
    """
    module.eval()
    with torch.no_grad():
        batches = torch.split(torch.from_numpy(X), 65536)
        return torch.cat([module(b.to(device)).cpu() for b in batches]).numpy()
