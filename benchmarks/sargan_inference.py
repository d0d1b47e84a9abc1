"""Time SARGAN edits on this machine, ours beside a plain eager reference with the same weights, by batches of pictures.

The reference is built from the published layer table alone (docs/papers.md 1.2): label planes concatenated to the
image, instance norm in training mode, contiguous tensors, as the official code runs.

    python benchmarks/sargan_inference.py [--size 128] [--threads N] [--batches 1 8] [--expressions 1] [--rounds 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.expressions import LABELS, ExpressionMix
from sargan_core.faces.face import FaceCrops
from sargan_core.models.sargan.data import sargan_template
from sargan_core.models.sargan.generator import Generator, one_hot, preset
from sargan_core.models.sargan.model import SarganModel


class Reference(nn.Module):
    """The published generator, layer by layer, with the weights of ours."""

    def __init__(self, ours: Generator) -> None:
        super().__init__()
        weights = iter([parameter.detach().clone() for parameter in ours.parameters()])
        settings = ours.settings
        width = settings.width
        self.encoder = nn.Sequential(*_layer(nn.Conv2d(10, width, 7, 1, 3, bias=False), weights, True))
        for _ in range(settings.downs):
            convolution = nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)
            self.encoder.extend(_layer(convolution, weights, True))
            width *= 2
        inner = width // 4
        self.feature = nn.Sequential(
            *_reflecting(width, width, weights), *_reflecting(width, width, weights)[:-1]
        )
        self.skip_full = nn.Sequential(*_reflecting(width, inner, weights))
        self.down_half = nn.Sequential(*_reflecting(width, inner, weights, 2))
        self.skip_half = nn.Sequential(*_reflecting(inner, inner, weights))
        self.down_quarter = nn.Sequential(*_reflecting(inner, inner, weights, 2))
        self.middle = nn.Sequential(*_reflecting(inner, inner, weights))
        self.up_half = nn.Sequential(*_reflecting(inner, inner, weights))
        self.up_full = nn.Sequential(*_reflecting(inner, inner, weights))
        out = nn.Conv2d(inner, 1, 3)
        out.weight.data, out.bias.data = next(weights), next(weights)  # type: ignore[union-attr]
        self.out = nn.Sequential(nn.ReflectionPad2d(1), out, nn.Sigmoid())
        self.decoder = nn.Sequential()
        for _ in range(settings.downs):
            convolution = nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)
            self.decoder.extend(_layer(convolution, weights, True))
            width //= 2
        head = nn.Conv2d(width, 3, 7, 1, 3, bias=False)
        head.weight.data = next(weights)
        self.decoder.extend([head, nn.Tanh()])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        planes = labels[:, :, None, None].expand(-1, -1, *images.shape[2:])
        x = self.encoder(torch.cat([images, planes], 1))
        feature = self.feature(x)
        half = self.down_half(feature)
        up = functional.interpolate(self.middle(self.down_quarter(half)), scale_factor=2)
        up = functional.interpolate(self.skip_half(half) + self.up_half(up), scale_factor=2)
        attention = self.out(self.skip_full(feature) + self.up_full(up))
        return self.decoder(x + feature * attention) + images


def _layer(
    convolution: nn.Conv2d | nn.ConvTranspose2d, weights: Iterator[Tensor], tracked: bool
) -> list[nn.Module]:
    convolution.weight.data = next(weights).contiguous()
    norm = nn.InstanceNorm2d(convolution.out_channels, affine=True, track_running_stats=tracked)
    norm.weight.data, norm.bias.data = next(weights), next(weights)
    return [convolution, norm, nn.ReLU()]


def _reflecting(inputs: int, outputs: int, weights: Iterator[Tensor], stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, bias=False)
    return [nn.ReflectionPad2d(1), *_layer(convolution, weights, False)]


def random_generator(size: int) -> Generator:
    """Return the published generator with random weights that do not leave the picture alone."""
    torch.manual_seed(0)
    generator = Generator(preset("sargan", size=size))
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return generator


def measure(runs: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, list[float]]:
    """Time each run once a round, in turns, so that all meet the same disturbances."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def compare(generator: Generator, model: SarganModel, batch: int, expressions: int, rounds: int) -> None:
    """Print times of a picture, in batches of ``batch``, and the largest difference of a value."""
    size = generator.settings.size
    reference = Reference(generator).train()
    image = torch.rand(batch, 3, size, size)
    crops = FaceCrops(image, torch.full((batch, 68, 2), torch.nan))
    mixes = [
        ExpressionMix(tuple((LABELS[(first + index) % 7], 1.0) for index in range(expressions)))
        for first in range(batch)
    ]
    labels = [one_hot([(first + index) % 7 for first in range(batch)], 7) for index in range(expressions)]
    images = (image * 2 - 1).contiguous()

    def theirs() -> Tensor:
        # One pass a target, as the official test script does.
        changes = [reference(images, rows) - images for rows in labels]
        return image + torch.stack(changes).sum(0) / 2

    def ours() -> Tensor:
        return model.edit(crops, mixes).image

    with torch.inference_mode():
        difference = (theirs() - ours()).abs().max() * 255 / expressions
        times = measure({"reference": theirs, "ours": ours}, rounds)
    best, usual = (
        {name: how(values) * 1e3 / batch for name, values in times.items()} for how in (min, median)
    )
    for name in times:
        print(f"batch {batch}, {name:10} best {best[name]:6.1f} ms a picture, median {usual[name]:6.1f}")
    gains = [table["reference"] / table["ours"] for table in (best, usual)]
    print(
        f"batch {batch}, speed-up: best {gains[0]:.2f}, median {gains[1]:.2f}; difference {difference:.5f} of 255"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="pictures at a time")
    parser.add_argument("--expressions", type=int, default=1, help="targets of one face, 1 to 7")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = random_generator(options.size)
    started = time.perf_counter()
    model = SarganModel(generator, sargan_template(options.size))
    prepared = time.perf_counter() - started
    print(f"{options.size} px, {options.threads} threads, {options.expressions} expressions")
    print(f"preparing ours: {prepared * 1e3:.0f} ms")
    for batch in options.batches:
        compare(generator, model, batch, options.expressions, options.rounds)


if __name__ == "__main__":
    main()
