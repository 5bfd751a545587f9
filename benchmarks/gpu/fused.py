"""The small kernels between products, as engines fuse them: in Triton, each with a form in plain torch.

`choose` tries each Triton kernel against its plain form and keeps it only if it is right.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

Tensor = torch.Tensor
EPS = 1e-5
MOST_SPLITS = 64


def plain_add_norm(x: Tensor, residual: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of both, normed, and the sum."""
    total = x if residual is None else x + residual
    return F.rms_norm(total, (total.shape[-1],), weight, EPS), total


def plain_silu_mul(x: Tensor) -> Tensor:
    """silu(first half) times second half."""
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


def plain_rope(qkv: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
    """Rotated queries (batch, heads, d); rotated keys and values into the cache (batch, kv, context, d)."""
    batch, kv, _, d = keys.shape
    split = qkv.view(batch, -1, d)
    heads = split.shape[1] - 2 * kv
    first, second = split[:, : heads + kv].float().chunk(2, -1)
    c, s = cos[position].float(), sin[position].float()
    turned = torch.cat((first * c - second * s, second * c + first * s), -1).to(qkv.dtype)
    keys[:, :, position] = turned[:, heads:]
    values[:, :, position] = split[:, heads + kv :]
    return turned[:, :heads].contiguous()


def plain_attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One new token of each sequence to the whole cache; torch chooses the kernel."""
    own = q.unsqueeze(2)
    gqa = q.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(own, keys, values, enable_gqa=gqa).squeeze(2)


if triton is not None:

    @triton.jit
    def _add_norm(x, residual, weight, out, total, d, stride, eps, ADD: tl.constexpr, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        at = tl.arange(0, BLOCK)
        kept = at < d
        own = tl.load(x + row * stride + at, mask=kept, other=0.0).to(tl.float32)
        if ADD:
            own += tl.load(residual + row * d + at, mask=kept, other=0.0).to(tl.float32)
            tl.store(total + row * d + at, own.to(total.dtype.element_ty), mask=kept)
        scale = 1.0 / tl.sqrt(tl.sum(own * own, 0) / d + eps)
        normed = own * scale * tl.load(weight + at, mask=kept, other=0.0).to(tl.float32)
        tl.store(out + row * d + at, normed.to(out.dtype.element_ty), mask=kept)

    @triton.jit
    def _silu_mul(x, out, d, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        kept = at < d
        gate = tl.load(x + row * 2 * d + at, mask=kept, other=0.0).to(tl.float32)
        up = tl.load(x + row * 2 * d + d + at, mask=kept, other=0.0).to(tl.float32)
        tl.store(out + row * d + at, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=kept)

    @triton.jit(do_not_specialize=["heads", "kv", "context", "position"])
    def _rope(
        qkv, cos, sin, q, keys, values, heads, kv, context, position, D: tl.constexpr, HALF: tl.constexpr
    ):
        row = tl.program_id(0).to(tl.int64)
        head = tl.program_id(1)
        at = tl.arange(0, HALF)
        own = qkv + (row * (heads + 2 * kv) + head) * D
        first, second = tl.load(own + at), tl.load(own + HALF + at)
        c = tl.load(cos + position * HALF + at).to(tl.float32)
        s = tl.load(sin + position * HALF + at).to(tl.float32)
        a = first.to(tl.float32) * c - second.to(tl.float32) * s
        b = second.to(tl.float32) * c + first.to(tl.float32) * s
        kind = q.dtype.element_ty
        if head < heads:
            to = q + (row * heads + head) * D
            tl.store(to + at, a.to(kind))
            tl.store(to + HALF + at, b.to(kind))
        elif head < heads + kv:
            to = keys + ((row * kv + head - heads) * context + position) * D
            tl.store(to + at, a.to(kind))
            tl.store(to + HALF + at, b.to(kind))
        else:
            to = values + ((row * kv + head - heads - kv) * context + position) * D
            tl.store(to + at, first)
            tl.store(to + HALF + at, second)

    @triton.jit(do_not_specialize=["context", "length", "splits"])
    def _split(
        q, keys, values, part, stat, context, length, splits, scale,
        G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    ):  # fmt: skip
        pair = tl.program_id(0).to(tl.int64)
        split = tl.program_id(1)
        g, d, n = tl.arange(0, GP), tl.arange(0, D), tl.arange(0, N)
        own = tl.load(q + (pair * G + g[:, None]) * D + d[None, :], mask=g[:, None] < G, other=0.0)
        top = tl.full((GP,), -1e30, tl.float32)
        total = tl.zeros((GP,), tl.float32)
        out = tl.zeros((GP, D), tl.float32)
        first = split * length
        last = tl.minimum(first + length, context)
        for start in range(first, last, N):
            here = start + n
            at = (pair * context + here[:, None]) * D + d[None, :]
            k = tl.load(keys + at, mask=here[:, None] < last, other=0.0)
            scores = tl.dot(own, tl.trans(k)) * scale
            scores = tl.where(here[None, :] < last, scores, -1e30)
            higher = tl.maximum(top, tl.max(scores, 1))
            p = tl.exp2(scores - higher[:, None])
            kept = tl.exp2(top - higher)
            total = total * kept + tl.sum(p, 1)
            v = tl.load(values + at, mask=here[:, None] < last, other=0.0)
            out = out * kept[:, None] + tl.dot(p.to(v.dtype), v)
            top = higher
        to = (pair * splits + split) * G + g
        tl.store(part + to[:, None] * D + d[None, :], out / total[:, None], mask=g[:, None] < G)
        tl.store(stat + to, top + tl.log2(total), mask=g < G)

    @triton.jit(do_not_specialize=["splits"])
    def _combine(part, stat, out, splits, G: tl.constexpr, D: tl.constexpr, S: tl.constexpr):
        pair = tl.program_id(0).to(tl.int64)
        g = tl.program_id(1)
        s, d = tl.arange(0, S), tl.arange(0, D)
        at = (pair * splits + s) * G + g
        stats = tl.load(stat + at, mask=s < splits, other=-1e30)
        share = tl.exp2(stats - tl.max(stats, 0))
        share = share / tl.sum(share, 0)
        parts = tl.load(part + at[:, None] * D + d[None, :], mask=s[:, None] < splits, other=0.0)
        found = tl.sum(parts * share[:, None], 0)
        tl.store(out + (pair * G + g) * D + d, found.to(out.dtype.element_ty))


def triton_add_norm(x: Tensor, residual: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same in one kernel; rows of `x` may lie apart."""
    rows, d = x.shape
    out = torch.empty((rows, d), dtype=x.dtype, device=x.device)
    add = residual is not None
    total = torch.empty_like(out) if add else x
    block = triton.next_power_of_2(d)
    warps = 4 if block <= 2048 else 8
    own = residual if add else x
    _add_norm[(rows,)](x, own, weight, out, total, d, x.stride(0), EPS, ADD=add, BLOCK=block, num_warps=warps)
    return out, total


def triton_silu_mul(x: Tensor) -> Tensor:
    """The same in one kernel."""
    rows, d = x.shape[0], x.shape[1] // 2
    out = torch.empty((rows, d), dtype=x.dtype, device=x.device)
    _silu_mul[(rows, triton.cdiv(d, 1024))](x, out, d, BLOCK=1024)
    return out


def triton_rope(qkv: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
    """The same in one kernel."""
    batch, kv, context, d = keys.shape
    heads = qkv.shape[1] // d - 2 * kv
    q = torch.empty((batch, heads, d), dtype=qkv.dtype, device=qkv.device)
    grid = (batch, heads + 2 * kv)
    _rope[grid](qkv, cos, sin, q, keys, values, heads, kv, context, position, D=d, HALF=d // 2, num_warps=1)
    return q


def triton_attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Split-K decoding: the cache is read once, by as many programs as fill the chip, then combined."""
    batch, kv, context, d = keys.shape
    group, pairs = q.shape[1] // kv, batch * kv
    wanted = max(
        1, min(MOST_SPLITS, -(-context // 256), -(-528 // pairs))
    )  # 4 programs for each of 132 cores
    length = -(-context // wanted)
    length = -(-length // 64) * 64
    splits = -(-context // length)
    part = torch.empty((pairs, splits, group, d), dtype=torch.float32, device=q.device)
    stat = torch.empty((pairs, splits, group), dtype=torch.float32, device=q.device)
    out = torch.empty_like(q)
    scale = 1 / math.sqrt(d) / math.log(2)
    padded = max(16, triton.next_power_of_2(group))
    _split[(pairs, splits)](
        q, keys, values, part, stat, context, length, splits, scale,
        G=group, GP=padded, D=d, N=64, num_stages=3,
    )  # fmt: skip
    _combine[(pairs, group)](part, stat, out, splits, G=group, D=d, S=MOST_SPLITS)
    return out


FORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add_norm": (plain_add_norm, triton_add_norm),
    "silu_mul": (plain_silu_mul, triton_silu_mul),
    "rope": (plain_rope, triton_rope),
    "attend": (plain_attend, triton_attend),
}


def choose(device: str, use_triton: bool = True) -> tuple[dict[str, Callable[..., Any]], str]:
    """For each kernel the Triton form if it is right, else the plain one; and in words which."""
    chosen, told = {}, []
    for name, (plain, fused) in FORMS.items():
        reason = "not asked for" if not use_triton else "no triton" if triton is None else ""
        reason = reason or _wrong(name, plain, fused, device)
        chosen[name] = plain if reason else fused
        told.append(f"{name}: torch ({reason})" if reason else f"{name}: triton")
    return chosen, "; ".join(told)


def _wrong(name: str, plain: Callable[..., Any], fused: Callable[..., Any], device: str) -> str:
    """Why the fused form cannot be used, or ''."""
    try:
        for arguments in _samples(name, device):
            copies = [[a.clone() if isinstance(a, Tensor) else a for a in arguments] for _ in range(2)]
            found = [form(*own) for form, own in zip((plain, fused), copies, strict=True)]
            seen = [
                [*(f if isinstance(f, tuple) else (f,)), *own[3:5]]
                for f, own in zip(found, copies, strict=True)
            ]
            for right, other in zip(*seen, strict=True):
                if isinstance(right, Tensor):
                    error = (right.float() - other.float()).norm() / right.float().norm()
                    if not error < 0.02:
                        return f"off by {float(error):.2g}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:120].replace("\n", " ")
    return ""


def _samples(name: str, device: str) -> list[list[Any]]:
    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device).to(torch.bfloat16)

    if name == "add_norm":
        return [[random(3, 200), random(3, 200), random(200)], [random(3, 400)[:, :200], None, random(200)]]
    if name == "silu_mul":
        return [[random(3, 2500)]]
    caches = [random(2, 2, 700, 64), random(2, 2, 700, 64)]
    if name == "rope":
        return [[random(2, 10 * 64), random(700, 32), random(700, 32), *caches, 699]]
    return [[random(2, 6, 64), *caches], [random(2, 2, 64), *caches]]
