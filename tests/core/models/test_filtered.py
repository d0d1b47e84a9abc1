"""Layers by minimal filtering against the library's: values, gradients, and what they must not depend on."""

from itertools import product

import pytest
import torch
from torch import nn

from sargan_core.models import filtered, winograd
from sargan_core.models.filtered import FilteredConvolution, FilteredTransposed, prepare
from sargan_core.models.sargan.generator import Generator, preset

KINDS = ["zeros", "reflect", "strided", "strided reflect", "transposed"]


@pytest.fixture
def always(monkeypatch):
    """Let small layers take the path that pays for large ones only, in bands of a few tiles."""
    monkeypatch.setattr(filtered, "LEAST_SAVED", 0)
    monkeypatch.setattr(filtered, "LEAST_TILES", 0)
    monkeypatch.setattr(winograd, "BAND", 7)


def made(kind: str, inputs: int = 5, outputs: int = 3) -> FilteredConvolution | FilteredTransposed:
    torch.manual_seed(0)
    if kind == "transposed":
        return FilteredTransposed(inputs, outputs)
    mode = "reflect" if "reflect" in kind else "zeros"
    return FilteredConvolution(inputs, outputs, 2 if "strided" in kind else 1, mode)


def plain(kind: str, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the library makes of ``x``."""
    parent = nn.ConvTranspose2d if kind == "transposed" else nn.Conv2d
    return parent.forward(layer, x)


def picture(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(8, 12), (4, 4), (2, 6), (13, 7), (22, 18), (40, 40)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_the_library_s(always, kind, size, memory):
    layer = made(kind)
    x = picture(2, 5, *size).contiguous(memory_format=memory).requires_grad_()
    layer.double()
    exact = x.detach().double().requires_grad_()
    expected = plain(kind, layer, exact)
    goal = picture(*expected.shape)
    wanted = torch.autograd.grad((expected * goal).sum(), [exact, layer.weight])
    layer.float()
    result = layer(x)
    found = torch.autograd.grad((result * goal).sum(), [x, layer.weight])
    for ours, theirs in zip((result, *found), (expected, *wanted), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() <= 2e-5 * theirs.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_minimal_filtering_is_what_runs(always, kind, monkeypatch):
    layer, x = made(kind), picture(1, 5, 8, 8)
    monkeypatch.setattr(nn.Conv2d, "forward", None)
    monkeypatch.setattr(nn.ConvTranspose2d, "forward", None)
    assert layer(x).isfinite().all()


def test_the_published_generator_uses_it_where_it_pays(monkeypatch):
    seen = []
    monkeypatch.setattr(
        filtered, "_filtered", lambda module, x, layer: seen.append(module) or plain_of(module, x)
    )
    generator = Generator(preset("sargan"))
    with torch.no_grad():
        generator(picture(1, 3, 128, 128), torch.eye(7)[:1])
    blocks = generator.blocks[0]
    expected = [*(pair[0] for pair in generator.downs), blocks.feature[0], blocks.feature[3]]
    expected += [blocks.attention.skip_full[0], *(pair[0] for pair in generator.ups)]
    assert seen == expected


def plain_of(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return plain("transposed" if isinstance(module, FilteredTransposed) else "", module, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", ["bf16", "double", "small", "odd"])
def test_elsewhere_it_is_the_library_s_layer(kind, why, request):
    if why != "small":
        request.getfixturevalue("always")
    if why == "odd" and "strided" not in kind:
        pytest.skip("only strides can fail to divide a size")
    layer = made(kind)
    x = picture(1, 5, *((9, 8) if why == "odd" else (8, 8)))
    if why == "double":
        layer, x = layer.double(), x.double()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=why == "bf16"):
        assert torch.equal(layer(x), plain(kind, layer, x))


@pytest.mark.parametrize("kind", KINDS)
def test_transforming_the_kernel_beforehand_changes_nothing(always, kind):
    layer, x = made(kind), picture(1, 5, 8, 8)
    with torch.no_grad():
        before = layer(x)
        prepare(layer)
        assert torch.equal(layer(x), before)
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_by_itself(always, kind):
    layer, x = made(kind), picture(3, 5, 16, 16)
    with torch.no_grad():
        together = layer(x)
        for index in range(3):
            assert torch.equal(together[index : index + 1], layer(x[index : index + 1]))


def test_bytes_are_the_same_for_any_number_of_threads():
    torch.manual_seed(0)
    generator = Generator(preset("sargan")).requires_grad_(False)
    prepare(generator)
    x = picture(1, 3, 96, 96).clamp(-1, 1)
    count, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append(generator(x, torch.eye(7)[2:3]))
    finally:
        torch.set_num_threads(count)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_work_in_inference_mode_does_not_bind_the_memory_to_it(always):
    layer = made("zeros")
    with torch.inference_mode():
        layer(picture(1, 5, 44, 44))
    x = picture(1, 5, 44, 44).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(("tile", "taps"), [(2, 2), (3, 2), (4, 2), (2, 3), (4, 3)])
def test_any_tile_and_kernel_make_the_sums_of_the_definition(tile, taps):
    form = winograd.Form(tile, taps)
    pixels, kernel = picture(form.span, form.span, 1), picture(taps, taps)
    tiles = winograd.Tiles(form, 1, 1)
    factors = form.transform(kernel.view(taps, taps, 1, 1, 1, 1, 1, 1))
    result = torch.zeros(tile, tile, 1)
    tiles.result(tiles.factors(pixels) * factors, result)
    for row, column in product(range(tile), range(tile)):
        expected = (pixels[row : row + taps, column : column + taps, 0] * kernel).sum()
        torch.testing.assert_close(result[row, column, 0], expected, atol=1e-5, rtol=1e-5)


def test_results_lie_in_lent_memory_only_where_a_network_asks_for_it(always):
    layer, x = made("zeros"), picture(1, 5, 8, 8)
    with torch.no_grad():
        own = layer(x)
        with winograd.memory.lending():
            first, second = layer(x), layer(2 * x)
            assert torch.equal(first, own)
            torch.testing.assert_close(second, 2 * own)
        with winograd.memory.lending():
            assert layer(x).data_ptr() == first.data_ptr()
        assert layer(3 * x).data_ptr() not in (own.data_ptr(), first.data_ptr(), second.data_ptr())


@pytest.mark.parametrize("kind", KINDS)
def test_memory_that_grows_takes_its_views_along(always, kind):
    layer, small, large = made(kind), picture(1, 5, 8, 8), picture(1, 5, 60, 60)
    with torch.no_grad():
        before = layer(small)
        layer(large)
        assert torch.equal(layer(small), before)


def test_use_again_makes_no_more_views(always):
    layer, x = made("strided"), picture(1, 5, 16, 16)
    with torch.no_grad():
        layer(x)
        count = len(winograd.memory.views)
        layer(x)
    assert len(winograd.memory.views) == count
