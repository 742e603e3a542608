"""What trainings of networks share: devices, batches, threads, progress."""

from contextlib import contextmanager

import torch
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

#: Widest layer of a network that is trained on one thread.
SMALL_NETWORK = 256

ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
}


def perceptron(n_inputs, hidden_layer_sizes, n_outputs, activation):
    """Return fully connected layers with one activation between them."""
    layers, width = [], n_inputs
    for size in hidden_layer_sizes:
        layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
        width = size
    layers.append(nn.Linear(width, n_outputs))
    return nn.Sequential(*layers)


def optimizer_class(name):
    """Return the torch optimiser of a name."""
    if name == "soap":
        from pytorch_optimizer import SOAP

        return SOAP
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]


def tensor(array, device):
    """Return a tensor of an array's values, in memory of torch's own.

    Such memory is aligned: results of products do not depend on where the array is.
    """
    return torch.tensor(array, device=device)


@contextmanager
def training_threads(module, device):
    """Train small networks on one thread.

    Their matrix products are too small to share: more threads wait for each other
    longer than they compute. It also makes a fit independent of the number of cores.
    """
    widest = max(max(p.shape, default=1) for p in module.parameters())
    threads = torch.get_num_threads()
    if device == "cpu" and widest <= SMALL_NETWORK:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TensorBatches:
    """Batches of a data set that is held in tensors, without a loop over its rows.

    Every epoch is cut into batches of equal size, up to one row, so that no batch is
    too small to be a fair sample.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        With tensors ``X`` and ``y``.
    batch_size : int
        Largest size of a batch.
    shuffle : bool, default=False
        Whether to draw a new order each epoch.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.X, self.y = dataset.X, dataset.y
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self):
        return -(-len(self.X) // self.batch_size)

    def __iter__(self):
        if self.shuffle:
            order = torch.randperm(len(self.X)).to(self.X.device)
            for rows in torch.tensor_split(order, len(self)):
                yield self.X[rows], self.y[rows]
        else:
            yield from zip(
                torch.tensor_split(self.X, len(self)),
                torch.tensor_split(self.y, len(self)),
                strict=True,
            )


class ProgressBar(Callback):
    """A progress bar over the epochs, with the latest losses."""

    def __init__(self, description):
        self.description = description

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=net.max_epochs, desc=self.description, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Advance it."""
        last = net.history[-1]
        losses = {"loss": f"{last['train_loss']:.2e}"}
        if "valid_loss" in last:
            losses["validation"] = f"{last['valid_loss']:.2e}"
        self.bar_.set_postfix(losses, refresh=False)
        # a training that was resumed begins further on
        self.bar_.update(len(net.history) - self.bar_.n)

    def on_train_end(self, net, **kwargs):
        """Close it."""
        self.bar_.close()
        del self.bar_


def _silent(message):
    pass


def early_stopping(patience):
    """Return the callback that returns to the epoch of the lowest validation loss.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which training stops.
    """
    return EarlyStopping(
        monitor="valid_loss",
        patience=patience,
        threshold=0.0,
        threshold_mode="abs",
        load_best=True,
        sink=_silent,
    )


def epochs_of(estimator, n_samples, auto_steps):
    """Return the size of batches, batches an epoch, and epochs of a training.

    Parameters
    ----------
    estimator : estimator
        With the parameters ``batch_size`` and ``max_epochs``.
    n_samples : int
        Number of samples to train on.
    auto_steps : int
        Steps of a training with ``max_epochs="auto"``.

    Returns
    -------
    batch_size, steps_per_epoch, max_epochs : int
    """
    batch_size = min(estimator.batch_size, n_samples)
    steps_per_epoch = -(-n_samples // batch_size)
    max_epochs = estimator.max_epochs
    if max_epochs == "auto":
        max_epochs = max(1, round(auto_steps / steps_per_epoch))
    return batch_size, steps_per_epoch, max_epochs


def net_settings(estimator, n_samples, auto_steps, validation, title, device):
    """Return what the skorch nets of all trainings have in common.

    Parameters
    ----------
    estimator : estimator
        Read for its training parameters.
    n_samples : int
        Number of samples to train on.
    auto_steps : int
        Steps of a training with ``max_epochs="auto"``.
    validation : tuple of ndarray or None
        Held-out data for early stopping.
    title : str
        Heading of the progress bar.
    device : str
        Torch device.

    Returns
    -------
    settings : dict
        Of `skorch.NeuralNet`; its callbacks clip gradients, stop early, show a bar,
        and are the user's.
    steps_per_epoch : int
        Batches an epoch.
    """
    batch_size, steps_per_epoch, max_epochs = epochs_of(
        estimator, n_samples, auto_steps
    )
    callbacks = []
    if estimator.clip_gradient_norm is not None:
        callbacks.append(("clip", GradientNormClipping(estimator.clip_gradient_norm)))
    split = None
    if validation is not None:
        split = predefined_split(Dataset(*(tensor(a, device) for a in validation)))
        # a cycle is completed: its loss falls in the end
        cycle = estimator.lr_schedule == "one_cycle"
        patience = max_epochs if cycle else estimator.n_iter_no_change
        callbacks.append(("early_stopping", early_stopping(patience)))
    if estimator.verbose:
        callbacks.append(("progress", ProgressBar(title)))
    settings = {
        "lr": estimator.lr,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "iterator_train": TensorBatches,
        "iterator_train__shuffle": True,
        "iterator_valid": TensorBatches,
        "train_split": split,
        "callbacks": callbacks + list(estimator.callbacks or ()),
        "callbacks__print_log": None,
        "device": device,
        "verbose": 0,
    }
    return settings, steps_per_epoch


def resolve_device(device):
    """Return the torch device of a ``device`` parameter.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, … or ``"auto"``: CUDA where there is one.

    Returns
    -------
    device : str

    Raises
    ------
    ValueError
        If CUDA is asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(device).type not in ("cpu", "cuda"):
            raise RuntimeError
    except RuntimeError:
        raise ValueError(
            f"`device` is {device!r}, which is not supported; use 'cpu', 'cuda' or"
            " 'auto'."
        ) from None
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"`device` is {device!r}, but torch finds no CUDA device; use 'cpu' or"
            " 'auto'."
        )
    return device
