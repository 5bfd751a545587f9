"""The feed-forward networks of a config.json: dense ones, experts, and which layers hold which."""

from typing import Any

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.families import Family

EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")
"""What the number of experts goes by."""
ACTIVE = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "top_k_experts")
"""What the number of experts a token goes through goes by."""
_SPARSE_DEFAULTS: dict[str, Any] = {
    "first_k_dense_replace": 0,
    "moe_layer_freq": 1,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "interleave_moe_layer_step": 1,
}


def ffns_of(config: Config, family: Family, n_layers: int) -> list[Fields]:
    """The feed-forward network of every layer."""
    if family.ffn == "dense":
        return [dense(config, family)] * n_layers
    sparse = _sparse_layers(config, family, n_layers)
    routed = experts(config, family) if any(sparse) else {}
    plain = dense(config, family) if not all(sparse) else {}
    config.used.add(family.d_dense)
    return [routed if part else plain for part in sparse]


def dense(config: Config, family: Family) -> Fields:
    """A feed-forward network without experts."""
    bias = config.flag(family.ffn_bias_field, family.bias_default) if family.ffn_bias_field else False
    return {
        "ffn": "dense_ffn",
        "d_ff": config.size(family.d_dense),
        "gated_ffn": family.gated_ffn,
        "ffn_bias": bias,
    }


def _sparse_layers(config: Config, family: Family, n_layers: int) -> list[bool]:
    """Which layers hold experts: those that every field of the model type allows."""
    sparse = [True] * n_layers
    for name in family.sparse:
        default = _SPARSE_DEFAULTS.get(name)
        if config.fields.get(name) is None and default is not None:
            config.assume(f"{name} is not given; taken as {default}, the default of its class")
        allowed = _allowed(config, name, n_layers)
        sparse = [a and b for a, b in zip(sparse, allowed, strict=True)]
    return sparse


def _allowed(config: Config, name: str, n_layers: int) -> list[bool]:
    """Which layers one field allows to hold experts."""
    layers = range(n_layers)
    value = config.get(name)
    if name in ("mlp_only_layers", "moe_layers"):
        listed = config.indices(name, n_layers) or set()
        return [not listed or i in listed if name == "moe_layers" else i not in listed for i in layers]
    if name == "first_k_dense_replace":
        first = 0 if value is None else config.whole(name, value, 0, n_layers)
        return [i >= first for i in layers]
    if isinstance(value, list) and name == "moe_layer_freq":
        return [bool(part) for part in config.per_layer(name, n_layers, (0, 1)) or [1] * n_layers]
    step = 1 if value is None else config.whole(name, value, 1, n_layers)
    offset = 0 if name == "moe_layer_freq" else 1
    return [(i + offset) % step == 0 for i in layers]


def experts(config: Config, family: Family) -> Fields:
    """A feed-forward network of routed experts."""
    n_experts, active = config.agreed(EXPERTS), config.agreed(ACTIVE)
    if active > n_experts:
        name = next(name for name in ACTIVE if config.fields.get(name) is not None)
        raise config.refuse(name, f"is more than the {n_experts} experts; at most those are accepted")
    d_expert = config.size(family.d_expert)
    if family.d_expert == "intermediate_size" and config.optional("moe_intermediate_size") not in (
        None,
        d_expert,
    ):
        raise config.refuse("moe_intermediate_size", f"contradicts intermediate_size {d_expert}")
    return {
        "ffn": "moe",
        "n_experts": n_experts,
        "n_active_experts": active,
        "d_expert": d_expert,
        "gated_ffn": family.gated_ffn,
        "expert_bias": family.expert_bias,
        "router_bias": _router_bias(config, family),
        **_shared(config, family),
    }


def _router_bias(config: Config, family: Family) -> bool:
    """Whether the router has a bias, one an expert."""
    if family.router_bias == "noaux_tc":
        method = config.get("topk_method")
        if method not in (None, "noaux_tc", "greedy", "group_limited_greedy"):
            raise config.refuse("topk_method", "accepted: noaux_tc, greedy, group_limited_greedy")
        if method is None:
            config.assume("topk_method is not given; the router is taken to have a bias, one an expert")
        return method in (None, "noaux_tc")
    if family.router_bias == "use_routing_bias":
        return config.flag("use_routing_bias", None)
    return family.router_bias is True


def _shared(config: Config, family: Family) -> Fields:
    """The experts that every token passes."""
    if family.shared == "one":
        config.assume("one shared expert of the routed experts' width, which this model class always has")
        return {"n_shared_experts": 1}
    if family.shared == "gated":
        width = config.size("shared_expert_intermediate_size", low=0)
        return {"n_shared_experts": 1, "d_shared": width, "shared_gate": True} if width else {}
    if family.shared in ("count", "wide"):
        if "n_shared_experts" not in config.fields:
            raise config.refuse("n_shared_experts", "is missing; give 0 or null where there is none")
        if config.get("n_shared_experts") is not None:
            count = config.size("n_shared_experts", low=0, high=64)
            if family.shared == "count" or not count:
                return {"n_shared_experts": count}
            d_shared = config.size("moe_shared_expert_intermediate_size")
            return {"n_shared_experts": count, "d_shared": d_shared}
    return {}
