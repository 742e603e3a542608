"""Conditional autoencoders, and the adversaries that they are trained against."""

import torch
from torch import nn
from torch.nn import functional

from ..utils.networks import perceptron


class ConditionalAutoencoder(nn.Module):
    """Encoder of ``[x | u]`` and decoder of ``[z | u]``.

    Parameters
    ----------
    n_inputs, n_conditions, n_components : int
        Columns of x, of the labels u and of the latent variables z.
    encoder_layer_sizes, decoder_layer_sizes : sequence of int
        Widths of the hidden layers.
    activation : str
        Their activation.
    variational : bool
        Whether the encoder gives a standard deviation of each latent variable, too.
    scatter : ndarray of shape (n_inputs,), default=None
        Standard deviations of the columns of x, if these are principal components,
        largest first. Then a linear path, which begins as their truncation, runs beside
        the layers, and the network sees them scaled to the root of these.
    """

    def __init__(
        self,
        n_inputs,
        n_conditions,
        n_components,
        encoder_layer_sizes,
        decoder_layer_sizes,
        activation,
        variational,
        scatter=None,
    ):
        super().__init__()
        self.encoder = perceptron(
            n_inputs + n_conditions, encoder_layer_sizes, n_components, activation
        )
        self.decoder = perceptron(
            n_components + n_conditions, decoder_layer_sizes, n_inputs, activation
        )
        self.linear_encoder = self.linear_decoder = self.log_scatter = None
        scale = torch.ones(n_inputs)
        if scatter is not None:
            scatter = torch.as_tensor(scatter, dtype=torch.float32)
            scale = scatter.sqrt()
            self._begin_linear(scatter, n_components)
        self.register_buffer("input_scale", scale)
        if variational:
            self.log_scatter = perceptron(
                n_inputs + n_conditions, (64,), n_components, activation
            )
            nn.init.zeros_(self.log_scatter[-1].weight)
            nn.init.constant_(self.log_scatter[-1].bias, -3.5)
            #: logarithm of the error of a reconstruction
            self.log_error = nn.Parameter(torch.zeros(()))

    def _begin_linear(self, scatter, n_components):
        leading = scatter[:n_components]
        self.linear_encoder = nn.Linear(len(scatter), n_components, bias=False)
        self.linear_decoder = nn.Linear(n_components, len(scatter), bias=False)
        with torch.no_grad():
            self.linear_encoder.weight.zero_().diagonal().copy_(leading**-0.5)
            self.linear_decoder.weight.zero_().diagonal().copy_(leading)
            for last in (self.encoder[-1], self.decoder[-1]):
                last.weight.zero_()
                last.bias.zero_()

    def scaled(self, x):
        """Return x as the networks see it."""
        return x / self.input_scale

    def encode(self, x, u):
        """Return means of the latent variables, and logarithms of their scatter."""
        x = self.scaled(x)
        inputs = torch.cat([x, u], 1)
        z = self._with_linear(self.encoder(inputs), self.linear_encoder, x)
        if self.log_scatter is None:
            return z, None
        return z, self.log_scatter(inputs).clamp(-8, 2)

    def decode(self, z, u):
        """Return x of latent variables and labels."""
        x = self.decoder(torch.cat([z, u], 1))
        return self._with_linear(x, self.linear_decoder, z)

    @staticmethod
    def _with_linear(values, linear, inputs):
        """Add the linear path, in full precision: its numbers are large."""
        if linear is None:
            return values
        dtype = linear.weight.dtype
        with torch.autocast(inputs.device.type, enabled=False):
            return values.to(dtype) + linear(inputs.to(dtype))

    def forward(self, x, u):
        """Return reconstructions."""
        return self.decode(self.encode(x, u)[0], u)

    def objective(self, x, x_hat, z, log_scatter):
        """Return what training minimises beside the adversary's part.

        Parameters
        ----------
        x, x_hat : tensor of shape (n_rows, n_inputs)
            Spectra and reconstructions.
        z, log_scatter : tensor of shape (n_rows, n_components)
            Latent variables, as `encode` gives them.

        Returns
        -------
        objective : tensor
            The mean squared error; of a variational autoencoder, the negative evidence
            lower bound in nats per star, less a constant.
        """
        error = functional.mse_loss(x_hat.float(), x)
        if log_scatter is None:
            return error
        n_inputs = x.shape[1]
        misfit = error * torch.exp(-2 * self.log_error) / 2 + self.log_error
        return n_inputs * misfit + kullback_leibler(z, log_scatter)


def kullback_leibler(z, log_scatter):
    """Return the divergence of N(z, scatter²) from N(0, 1), mean over rows, in nats."""
    divergence = (z**2 + torch.exp(2 * log_scatter) - 1) / 2 - log_scatter
    return divergence.sum(1).mean()


class LabelClassifiers(nn.Module):
    """The adversary of a Fader network: one classifier for each binned label.

    Parameters
    ----------
    n_components : int
        Number of latent variables.
    edges : ndarray of shape (n_conditions, n_label_bins - 1)
        Inner edges of the bins of each label.
    layer_sizes : sequence of int
        Widths of the hidden layers.
    activation : str
        Their activation.
    sees_labels : bool
        Whether the classifier of a label is given the others.
    """

    def __init__(self, n_components, edges, layer_sizes, activation, sees_labels):
        super().__init__()
        edges = torch.as_tensor(edges, dtype=torch.float32).contiguous()
        n_conditions, n_edges = edges.shape
        n_inputs = n_components + (n_conditions - 1 if sees_labels else 0)
        self.sees_labels = sees_labels
        self.register_buffer("edges", edges)
        self.classifiers = nn.ModuleList(
            perceptron(n_inputs, layer_sizes, n_edges + 1, activation)
            for _ in range(n_conditions)
        )

    def examples(self, autoencoder, x, u, z, x_hat):
        """Return what the adversary is shown of a batch."""
        return z, u

    def loss(self, z, u):
        """Return the sum of the labels' cross-entropies, in nats."""
        total = 0.0
        for j, classifier in enumerate(self.classifiers):
            inputs = z
            if self.sees_labels:
                inputs = torch.cat([z, u[:, :j], u[:, j + 1 :]], 1)
            bins = torch.bucketize(u[:, j].contiguous(), self.edges[j], right=True)
            total = total + functional.cross_entropy(classifier(inputs).float(), bins)
        return total

    def confusion(self, z, u):
        """Return what the autoencoder minimises for its part."""
        return -self.loss(z, u)


class Critic(nn.Module):
    """The adversary of a Factor network: a Wasserstein critic of ``[x | u | z]``.

    Parameters
    ----------
    n_inputs, n_conditions, n_components : int
        Columns of x, u and z.
    layer_sizes : sequence of int
        Widths of the hidden layers.
    activation : str
        Their activation.
    gradient_penalty : float
        Weight of the penalty.
    recast_residuals : bool
        Whether recast spectra are given the residuals of the reconstruction.
    """

    def __init__(
        self,
        n_inputs,
        n_conditions,
        n_components,
        layer_sizes,
        activation,
        gradient_penalty,
        recast_residuals,
    ):
        super().__init__()
        self.network = perceptron(
            n_inputs + n_conditions + n_components, layer_sizes, 1, activation
        )
        self.gradient_penalty = gradient_penalty
        self.recast_residuals = recast_residuals

    def forward(self, examples):
        """Return the critic's value of each row."""
        return self.network(examples).float()[:, 0]

    def examples(self, autoencoder, x, u, z, x_hat):
        """Return stars, and the same recast to labels of other stars of the batch."""
        u_new = u[torch.randperm(len(u), device=u.device)]
        recast = autoencoder.decode(z, u_new)
        if self.recast_residuals:
            recast = recast + (x - x_hat).detach()
        return (
            torch.cat([autoencoder.scaled(x), u, z], 1),
            torch.cat([autoencoder.scaled(recast), u_new, z], 1),
        )

    def loss(self, real, fake):
        """Return minus the Wasserstein distance, with the penalty."""
        part = torch.rand(len(real), 1, device=real.device)
        penalty = gradient_penalty(self, part * real + (1 - part) * fake)
        distance = self(real).mean() - self(fake).mean()
        return self.gradient_penalty * penalty - distance

    def confusion(self, real, fake):
        """Return what the autoencoder minimises for its part: the distance."""
        return self(real).mean() - self(fake).mean()


def gradient_penalty(critic, points):
    """Return the mean of (|gradient| - 1)² of a critic at the rows of `points`."""
    points = points.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return ((gradient.norm(dim=1) - 1) ** 2).mean()
