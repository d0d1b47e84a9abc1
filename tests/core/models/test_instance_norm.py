"""Instance norm in training: values and gradients of the library's, in float32 and bfloat16."""

import pytest
import torch
from torch.nn import functional

from sargan_core.models.layers import EPSILON, InstanceNorm


def made_norm() -> InstanceNorm:
    torch.manual_seed(0)
    norm = InstanceNorm(6)
    with torch.no_grad():
        norm.weight.add_(0.3 * torch.randn(6))
        norm.bias.add_(0.3 * torch.randn(6))
    return norm


def gradients(norm: InstanceNorm, result: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
    loss = (result.float() * torch.linspace(-1, 2, result.numel()).view(result.shape)).square().mean()
    return [part.float() for part in torch.autograd.grad(loss, [x, norm.weight, norm.bias])]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_training_norm_has_the_values_and_gradients_of_the_library_s(memory, dtype, tolerance):
    norm = made_norm()
    # Means far from zero: sums of squares in few bits would lose the spread.
    x = (3 * torch.randn(2, 6, 7, 9) + 5 * torch.randn(1, 6, 1, 1)).to(dtype)
    x = x.contiguous(memory_format=memory).requires_grad_()
    exact = x.detach().float().requires_grad_()
    expected = functional.instance_norm(exact, weight=norm.weight, bias=norm.bias, eps=EPSILON)
    made = norm(x)
    assert made.dtype == dtype
    torch.testing.assert_close(made.float(), expected, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(gradients(norm, made, x), gradients(norm, expected, exact), strict=True):
        assert (ours - theirs).norm() <= 2 * tolerance * theirs.norm()


def test_in_use_it_has_the_library_s_values_and_the_same_bytes_for_any_number_of_threads():
    norm = made_norm().requires_grad_(False)
    x = (3 * torch.randn(2, 6, 70, 90) + 5 * torch.randn(1, 6, 1, 1)).contiguous(
        memory_format=torch.channels_last
    )
    expected = functional.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPSILON)
    count, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            with torch.no_grad():
                results.append(norm(x.clone()))
    finally:
        torch.set_num_threads(count)
    torch.testing.assert_close(results[0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
