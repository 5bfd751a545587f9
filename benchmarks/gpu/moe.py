"""A mixture-of-experts layer in torch: router, choice, experts, sum. Two forms."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

Tensor = torch.Tensor
Silu = Callable[[Tensor], Tensor]


def route(x: Tensor, router: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """Weights and numbers of the chosen experts of each row."""
    return torch.topk(torch.softmax(F.linear(x, router).float(), -1), active, -1)


def grouped(x: Tensor, router: Tensor, up: Tensor, down: Tensor, active: int, silu_mul: Silu) -> Tensor:
    """Rows sorted by expert, one grouped product each way; touches only experts that were chosen."""
    rows, d = x.shape
    share, chosen = route(x, router, active)
    expert, order = torch.sort(chosen.reshape(-1))
    numbers = torch.arange(up.shape[0], device=x.device)
    ends = torch.searchsorted(expert, numbers, right=True).to(torch.int32)
    own = x[order // active]
    inner = silu_mul(torch._grouped_mm(own, up.transpose(1, 2), offs=ends))
    back = torch._grouped_mm(inner, down.transpose(1, 2), offs=ends)
    found = torch.empty_like(back)
    found[order] = back
    return (found.view(rows, active, d) * share.to(x.dtype).unsqueeze(-1)).sum(1)


def batched(x: Tensor, router: Tensor, up: Tensor, down: Tensor, active: int, silu_mul: Silu) -> Tensor:
    """Every expert on every row, the share of most being nothing: for few rows."""
    share, chosen = route(x, router, active)
    shares = torch.zeros(x.shape[0], up.shape[0], dtype=x.dtype, device=x.device)
    shares.scatter_(1, chosen, share.to(x.dtype))
    wide = torch.matmul(x.unsqueeze(0), up.transpose(1, 2))
    inner = silu_mul(wide.reshape(-1, wide.shape[-1])).view(up.shape[0], x.shape[0], -1)
    return torch.einsum("emd,me->md", torch.bmm(inner, down.transpose(1, 2)), shares)


def forms(rows: int, active: int, silu_mul: Silu) -> dict[str, Callable[..., Any]]:
    """The forms worth trying for so many rows; they take x, router, up, down."""
    found = {"torch grouped_mm": grouped} | ({"torch bmm of all experts": batched} if rows <= 128 else {})
    return {name: lambda *a, form=form: form(*a, active, silu_mul) for name, form in found.items()}
