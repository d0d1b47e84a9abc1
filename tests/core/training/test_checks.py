"""Settings that cannot work are refused, and those that are let through do work."""

import math
from dataclasses import replace

import pytest
import torch

from sargan_core.errors import UsageError
from sargan_core.models.aipgan.network import AipganNetwork, AipganSettings
from sargan_core.models.aipgan.recipe import check_aipgan
from sargan_core.models.sargan.generator import PRESETS, Generator, one_hot, preset
from sargan_core.models.sargan.recipes import check_generator, paired_recipe
from sargan_core.training.checks import check_types
from sargan_core.training.loop import LoopSettings, step_random

SIZES = (64, 65, 66, 68, 72, 80, 96, 159, 160)


def allowed(check, settings) -> bool:
    try:
        check(settings)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("arch", sorted(PRESETS))
@pytest.mark.parametrize("downs", [1, 2, 3, 4, 5])
def test_the_sizes_that_a_generator_takes_are_those_that_come_out_as_they_went_in(arch: str, downs: int):
    generator = Generator(preset(arch, width=4, downs=downs))
    for size in SIZES:
        fits = True
        try:
            with torch.no_grad():
                made = generator(torch.zeros(1, 3, size, size), one_hot([0], 7))
            fits = made.shape[-1] == size
        except (RuntimeError, ValueError):
            fits = False
        assert allowed(check_generator, preset(arch, width=4, downs=downs, size=size)) == fits, size


def test_the_sizes_that_the_transfer_network_takes_are_those_that_come_out_as_they_went_in():
    network = AipganNetwork(AipganSettings(width=4))
    for size in SIZES:
        picture = torch.zeros(1, 3, size, size)
        try:
            with torch.no_grad():
                fits = network(picture, picture).shape[-1] == size
        except (RuntimeError, ValueError):
            fits = False
        assert allowed(check_aipgan, AipganSettings(width=4, size=size)) == fits, size


def test_a_size_that_does_not_work_is_answered_with_one_that_does():
    for size, near in ((65, "64 or 68"), (3, "64"), (5001, "4096")):
        with pytest.raises(UsageError, match=rf"--size {size}: .* {near}$"):
            check_generator(preset("sargan", size=size))


@pytest.mark.parametrize(
    ("change", "option"),
    [
        *(({"rate": rate}, "--rate") for rate in (0.0, -1.0, math.nan, math.inf)),
        ({"batch": 0}, "--batch"),
        ({"adversarial_from": 0}, "--adversarial-from"),
        *(({"seed": seed}, "--seed") for seed in (-1, 2**32, 10**30)),
    ],
)
def test_numbers_that_cannot_work_are_named_by_their_option(change: dict[str, float], option: str):
    with pytest.raises(UsageError, match=option):
        replace(paired_recipe(preset("sargan")), **change)


@pytest.mark.parametrize("steps", [0, -5, 10**30])
def test_a_run_has_some_steps(steps: int):
    with pytest.raises(UsageError, match="--steps"):
        LoopSettings(steps)


def test_the_largest_seed_and_step_draw():
    assert step_random(2**32 - 1, 10**9).initial_seed() > 0


def test_members_of_another_type_are_found_in_nested_settings():
    training = paired_recipe(preset("sargan"))
    check_types(training)
    with pytest.raises(TypeError, match="width is '64'"):
        check_types(replace(training, generator=replace(training.generator, width="64")))
