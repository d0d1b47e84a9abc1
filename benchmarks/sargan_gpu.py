"""Images per second of SARGAN on a GPU: inference and training, ours beside the reference, float32 and bfloat16.

The reference is the one of sargan_inference.py, built from the published layer table. A training row is one forward and
one backward pass of the generator; the last rows are whole steps of the two recipes with their discriminators and
augmentation, on random pictures. Without a GPU it says so and stops.

    python benchmarks/sargan_gpu.py [--size 128] [--seconds 1] [--channels-last]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from sargan_inference import Reference, random_generator
from torch import Tensor, nn

from sargan_core.models.layers import lay_out
from sargan_core.models.sargan.data import sargan_template
from sargan_core.models.sargan.generator import one_hot, preset
from sargan_core.models.sargan.recipes import paired_recipe, paper_recipe
from sargan_core.models.sargan.run import random_pairs
from sargan_core.models.sargan.task import SarganTask
from sargan_core.training.loop import make_fabric


def per_second(run: Callable[[], object], images: int, seconds: float) -> float:
    """Return how many images a second ``run`` handles, after three calls to warm up."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        run()
        torch.cuda.synchronize()
        calls += 1
    return images * calls / (time.perf_counter() - started)


def infer(network: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """Make one forward pass."""
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=bf16):
        made: Tensor = network(images, labels)
    return made


def descend(network: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """Make one forward and one backward pass."""
    with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
        made = network(images, labels)
    loss: Tensor = made.float().abs().mean()
    loss.backward()
    for parameter in network.parameters():
        parameter.grad = None
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--channels-last", action="store_true", help="lay out ours channels-last, as on CPUs")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU on this machine: nothing measured")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.size} px, images per second")
    ours = random_generator(options.size)
    reference = Reference(ours).train().cuda()
    ours = ours.cuda()
    if options.channels_last:
        lay_out(ours, "cpu")
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    for batch in (1, 16, 64):
        plain = torch.rand(batch, 3, options.size, options.size, device="cuda") * 2 - 1
        laid = plain.contiguous(memory_format=layout)
        labels = one_hot([index % 7 for index in range(batch)], 7, "cuda")
        for kind, work in (("inference", infer), ("training", descend)):
            for bf16 in (False, True):
                theirs = per_second(lambda: work(reference, plain, labels, bf16), batch, options.seconds)  # noqa: B023
                mine = per_second(lambda: work(ours, laid, labels, bf16), batch, options.seconds)  # noqa: B023
                name = f"{kind}, batch {batch}, {'bf16' if bf16 else 'fp32'}"
                print(
                    f"{name:28} reference {theirs:9.0f}  ours {mine:9.0f}  {mine / theirs:.2f} times",
                    flush=True,
                )
    pairs = random_pairs(sargan_template(options.size))
    for precision in ("fp32", "bf16"):
        for name, recipe in (("paired", paired_recipe), ("paper", paper_recipe)):
            settings = recipe(preset("sargan", size=options.size), batch=16)
            task = SarganTask(settings, pairs, pairs, make_fabric("cuda", precision))
            steps = iter(range(5000, 10**9))
            rate = per_second(lambda: task.step(next(steps)), 16, options.seconds)  # noqa: B023
            print(
                f"step of the {name} recipe, batch 16, {precision}: {rate:.0f}, {rate / 16:.1f} steps",
                flush=True,
            )


if __name__ == "__main__":
    main()
