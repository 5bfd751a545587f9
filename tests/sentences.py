"""The rules, each written again from its sentence in exact fractions, never read from `rule`."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

Point = dict[str, Any]


def within(low: Any, x: Fraction, high: Any) -> bool:
    return Fraction(low) <= x <= Fraction(high)


def tensor_parallel(value: Any, p: Point) -> bool:
    t = p["tensor_parallel"]
    shared = p["n_kv_heads"] % t == 0 or t % p["n_kv_heads"] == 0
    return p["n_heads"] % t == 0 and p["d_ff"] % t == 0 and shared


def tiles(value: Any, p: Point) -> bool:
    a, t = p["alignment"] if value is True else value, p["tensor_parallel"]
    shards = (p["d_model"], Fraction(p["n_heads"] * p["d_head"], t), Fraction(p["d_ff"], t))
    return all(Fraction(width, a).denominator == 1 for width in shards)


def blocks(value: Any, p: Point) -> bool:
    t, queries, keys = p["tensor_parallel"], p["n_heads"] * p["d_head"], p["n_kv_heads"] * p["d_head"]
    network = Fraction(p["d_ff"], value * p.get("network_ranks", t))
    alone = t >= p["n_kv_heads"] and p["d_head"] % value == 0
    whole = all(x.denominator == 1 for x in (network, Fraction(queries, value * t)))
    return whole and (Fraction(keys, value * t).denominator == 1 or alone)


SENTENCES: dict[str, Callable[[Any, Point], bool]] = {
    "aspect_ratio": lambda v, p: within(v[0], Fraction(p["d_model"], p["n_layers"]), v[1]),
    "attention_ratio": lambda v, p: within(v[0], Fraction(p["n_heads"] * p["d_head"], p["d_model"]), v[1]),
    "ffn_ratio": lambda v, p: within(v[0], Fraction(p["d_ff"], p["d_model"]), v[1]),
    "gqa_divisibility": lambda v, p: Fraction(p["n_heads"], p["n_kv_heads"]).denominator == 1,
    "kv_sharing": lambda v, p: p["n_kv_heads"] >= 8 or Fraction(p["n_heads"], p["n_kv_heads"]) <= v,
    "memory_capacity": lambda v, p: Fraction(p["memory_gib"]) <= Fraction(v) * Fraction(p["room_gib"]),
    "parameter_window": lambda v, p: within(v[0], Fraction(p["n_params"]), v[1]),
    "quantisation_blocks": blocks,
    "scaleup_domain": lambda v, p: p["tensor_parallel"] <= p["scaleup_domain"],
    "tensor_parallel_divisibility": tensor_parallel,
    "tile_alignment": tiles,
}
