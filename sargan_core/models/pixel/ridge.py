"""Closed-form fits of the pixel model: ridge regression and kernel ridge regression, every pixel by itself.

Source: Pixel-RR as recovered from the published code of the authors' neighbouring methods: per pixel, minimise
``sum (t - w x - b)^2 + lambda (w^2 + b^2)``, the bias inside the penalty.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256


class RidgeSums:
    """Sums over training pairs from which weight and bias follow; memory does not grow with the pairs.

    Args:
        shape: (C, S, S) with C = 3 for separate channels, 1 for one weight and bias shared by R, G and B.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.count = 0
        self.shared = shape[0] == 1
        self.x, self.t, self.xx, self.xt = (torch.zeros(shape, dtype=torch.float64) for _ in range(4))

    def add(self, x: Tensor, t: Tensor) -> None:
        """Add one pair of (3, S, S) crops in [0, 1]."""
        x, t = x.double(), t.double()
        self.count += 3 if self.shared else 1
        for total, value in ((self.x, x), (self.t, t), (self.xx, x * x), (self.xt, x * t)):
            total += value.sum(0, keepdim=True) if self.shared else value

    def solve(self, penalty: float, towards_identity: bool = False) -> tuple[Tensor, Tensor]:
        """Return weight and bias, (C, S, S) float64.

        Args:
            penalty: lambda, at least 0, for crops in [0, 1].
            towards_identity: penalise ``(w - 1)^2 + b^2`` instead of ``w^2 + b^2``, so that pixels about which the
                pairs say little are left alone.
        """
        n = self.count + penalty
        xt, t = self.xt, self.t
        if towards_identity:
            # Fitting the change t - x with the same penalty shrinks towards w = 1, b = 0.
            xt, t = xt - self.xx, t - self.x
        determinant = ((self.xx + penalty) * n - self.x**2).clamp_min(1e-12)
        weight = (n * xt - self.x * t) / determinant
        bias = ((self.xx + penalty) * t - self.x * xt) / determinant
        return (weight + 1 if towards_identity else weight), bias


class CurveSums:
    """Histograms over training pairs from which a curve per pixel follows.

    Crops are 8-bit, so pairs whose input has the same level share one row of the kernel matrix: 256 rows hold any
    number of pairs exactly.

    Args:
        shape: (C, S, S), C = 1 or 3 as in ``RidgeSums``.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shared = shape[0] == 1
        self.seen = torch.zeros(shape[0], LEVELS, *shape[1:])
        self.total = torch.zeros(shape[0], LEVELS, *shape[1:])

    def add(self, x: Tensor, t: Tensor) -> None:
        """Add one pair of (3, S, S) crops in [0, 1]."""
        level = (x * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1)
        for channel in range(3):
            row = 0 if self.shared else channel
            index = level[channel][None]
            self.seen[row].scatter_add_(0, index, torch.ones_like(t[channel][None]))
            self.total[row].scatter_add_(0, index, t[channel][None])

    def solve(self, penalty: float, bandwidth: float) -> Tensor:
        """Return the curves (C, 256, S, S) float32: the prediction at every input level.

        Kernel ridge regression with ``K = exp(-(x - x')^2 / 2 s^2)`` on the centred targets, solved in the
        eigenvectors of the 256 x 256 kernel whose eigenvalues matter in double precision.

        Args:
            penalty: lambda > 0.
            bandwidth: s, on the scale where intensities run from 0 to 1.
        """
        levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
        kernel = torch.exp(-((levels[:, None] - levels[None]) ** 2) / (2 * bandwidth**2))
        values, vectors = torch.linalg.eigh(kernel)
        kept = values > values[-1] * 1e-10
        features = vectors[:, kept] * values[kept].sqrt()
        channels, _, height, width = self.seen.shape
        curves = torch.empty(channels, LEVELS, height, width)
        eye = penalty * torch.eye(features.shape[1], dtype=torch.float64)
        for channel in range(channels):
            for row in range(height):
                seen = self.seen[channel, :, row].double()
                total = self.total[channel, :, row].double()
                mean = total.sum(0) / seen.sum(0).clamp_min(1)
                gram = torch.einsum("lp,lf,lg->pfg", seen, features, features) + eye
                right = torch.einsum("lp,lf->pf", total - seen * mean, features)
                curve = features @ torch.linalg.solve(gram, right).T + mean
                curves[channel, :, row] = curve.float()
        return curves
