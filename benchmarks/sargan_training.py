"""Time one training step of SARGAN's generator, forward and backward, beside a plain eager reference.

The reference is the one of sargan_inference.py, built from the published layer table. Rows: the reference in
float32 and under bfloat16 autocast, ours in both. bfloat16 is faster only where the CPU computes it (avx512_bf16, amx).

    python benchmarks/sargan_training.py [--size 128] [--batch 4] [--threads 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch
from sargan_inference import Reference, measure, random_generator
from torch import Tensor, nn

from sargan_core.models.layers import lay_out
from sargan_core.models.sargan.generator import one_hot


def step(network: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """Make one forward and one backward pass; return the loss."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        made = network(images, labels)
    loss = made.float().abs().mean()
    loss.backward()
    for parameter in network.parameters():
        parameter.grad = None
    return loss.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = random_generator(options.size)
    reference = Reference(generator).train()
    lay_out(generator, "cpu")
    images = torch.rand(options.batch, 3, options.size, options.size) * 2 - 1
    last = images.contiguous(memory_format=torch.channels_last)
    labels = one_hot([index % 7 for index in range(options.batch)], 7)
    runs: dict[str, Callable[[], Tensor]] = {
        "reference, fp32": lambda: step(reference, images, labels, False),
        "reference, bf16": lambda: step(reference, images, labels, True),
        "ours, fp32": lambda: step(generator, last, labels, False),
        "ours, bf16": lambda: step(generator, last, labels, True),
    }
    times = measure(runs, options.rounds)
    print(f"{options.size} px, batch {options.batch}, {options.threads} threads")
    for name, values in times.items():
        gain = min(times["reference, fp32"]) / min(values)
        usual = median(times["reference, fp32"]) / median(values)
        print(
            f"{name:16} best {min(values):.3f} s, median {median(values):.3f} s; {gain:.2f} times, {usual:.2f}"
        )


if __name__ == "__main__":
    main()
