"""The generators: published sizes, and what they must not depend on."""

import pytest
import torch
from torch.nn import functional

from sargan_core.errors import UsageError
from sargan_core.models.sargan.generator import Generator, GeneratorSettings, one_hot, preset

TINY = GeneratorSettings(width=4, downs=2, size=32)


def make(settings: GeneratorSettings = TINY, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(settings)
    with torch.no_grad():
        # Away from the start: norms that do something, a head that changes the picture.
        for parameter in generator.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return generator


def picture(count: int = 1, size: int = 32, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(
    ("arch", "count"), [("sargan", 3_014_145), ("usgan", 2_533_440), ("stargan", 8_436_800)]
)
def test_published_parameter_counts(arch, count):
    generator = Generator(preset(arch))
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


def test_unknown_architecture_is_named():
    with pytest.raises(UsageError, match="cyclegan"):
        preset("cyclegan")


@pytest.mark.parametrize("arch", ["sargan", "usgan", "stargan"])
def test_output_is_the_same_in_training_and_evaluation_mode(arch):
    generator = make(preset(arch, width=4, size=32))
    x, labels = picture(2), one_hot([0, 5], 7)
    with torch.no_grad():
        assert torch.equal(generator.train()(x, labels), generator.eval()(x, labels))


def test_training_and_inference_norms_agree():
    generator = make()
    x, labels = picture(2), one_hot([0, 5], 7)
    with torch.no_grad():
        without = generator(x, labels)
    # The one adds the whole label map, the other its borders only.
    torch.testing.assert_close(generator(x, labels).detach(), without, atol=5e-5, rtol=0)


def test_output_does_not_depend_on_the_rest_of_the_batch():
    generator = make()
    x, labels = picture(3), one_hot([1, 2, 3], 7)
    with torch.no_grad():
        together = generator(x, labels)
        alone = torch.cat([generator(x[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)


def test_residual_is_not_clamped():
    generator = make()
    with torch.no_grad():
        generator.head.weight.mul_(20)
        made = generator(picture().sign(), one_hot([3], 7))
    assert made.abs().max() > 1.2


def test_stargan_has_no_skip():
    generator = make(preset("stargan", width=4, size=32))
    with torch.no_grad():
        generator.head.weight.zero_()
        assert torch.equal(generator(picture(), one_hot([3], 7)), torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("size", [(7, 7), (16, 32), (33, 20)])
def test_labels_act_and_learn_as_planes_beside_the_image_do(size):
    generator = make().double()
    labels = torch.rand(2, 7, dtype=torch.double)
    image = torch.rand(2, 3, *size, dtype=torch.double)
    planes = labels[:, :, None, None].expand(-1, -1, *size)
    weight = generator.stem.weight
    goal = torch.rand(2, len(weight), *size, dtype=torch.double)
    published = generator.stem_norm(functional.conv2d(torch.cat([image, planes], 1), weight, padding=3))
    (expected,) = torch.autograd.grad((published * goal).sum(), weight)
    ours = generator.stem_norm(generator.stem_output(image, labels))
    (found,) = torch.autograd.grad((ours * goal).sum(), weight)
    torch.testing.assert_close(ours, published, atol=1e-9, rtol=0)
    # The norm sums in float32.
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_labels_reach_the_output():
    # Would fail with reflection padding: instance norm would cancel the planes.
    generator = make()
    with torch.no_grad():
        made = generator(picture(2, seed=2)[:1].expand(2, -1, -1, -1), one_hot([0, 6], 7))
    assert (made[0] - made[1]).abs().mean() > 1e-3


def test_sharing_the_stem_gives_what_single_passes_give():
    generator = make()
    x = picture(2)
    labels, owner = one_hot([0, 3, 3, 6], 7), torch.tensor([0, 0, 1, 1])
    with torch.no_grad():
        shared = generator(x, labels, owner)
        plain = generator(x[owner], labels)
    assert torch.equal(shared, plain)


def test_larger_crops_with_more_downs_cost_about_the_same():
    def cost(settings: GeneratorSettings) -> int:
        total = 0

        def count(module, inputs, output):
            nonlocal total
            total += output[0].numel() * module.weight[0].numel()

        generator = Generator(settings)
        for module in generator.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        with torch.no_grad():
            generator(picture(1, settings.size), one_hot([0], 7))
        return total

    assert cost(preset("sargan", width=16, downs=3, size=256)) < 1.5 * cost(preset("sargan", width=32))
