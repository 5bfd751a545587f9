"""The feed-forward networks of a config.json: dense ones and experts."""

from dataclasses import replace

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.sparse import sparse_layers


def ffns_of(config: Config, family: Family, n_layers: int, d_model: int) -> list[Fields]:
    """The feed-forward network of every layer."""
    if family.ffn == "dense":
        return [dense(config, family, d_model)] * n_layers
    if family.no_experts and config.get("num_experts") == family.no_experts_at:
        config.used.update(config.spelled("num_experts_per_tok"))
        return [dense(config, replace(family, d_dense=family.no_experts), d_model)] * n_layers
    sparse = sparse_layers(config, family, n_layers)
    routed = experts(config, family) if any(sparse) else {}
    plain = dense(config, family, d_model) if not all(sparse) else {}
    config.used.update((family.d_dense, family.d_expert))
    if family.shared == "n_shared_experts":
        config.used.update(config.spelled("n_shared_experts"))
    hashed = _hashed(config, family, n_layers)
    told = {True: routed | {"router_bias": False}, False: routed}
    return [told[by_token] if part else plain for part, by_token in zip(sparse, hashed, strict=True)]


def _hashed(config: Config, family: Family, n_layers: int) -> list[bool]:
    """Which layers have experts that a table chooses: those of a list, or the first."""
    if not family.hashed:
        return [False] * n_layers
    listed = config.get("mlp_layer_types")
    first = config.size(family.hashed, low=0)
    return [kind == "hash_moe" for kind in listed] if listed else [i < first for i in range(n_layers)]


def dense(config: Config, family: Family, d_model: int) -> Fields:
    """A feed-forward network without experts."""
    wide = (family.ffn_times * d_model, f"{family.ffn_times} hidden_size") if family.ffn_times else None
    return {
        "ffn": "dense_ffn",
        "d_ff": _adjusted(config, config.size(family.d_dense, wide)),
        "gated_ffn": family.gated_ffn,
        "ffn_bias": config.switch(family.ffn_bias),
        "ffn_norm": family.ffn_norm,
        "ffn_scalars": family.ffn_scalars,
    }


def _adjusted(config: Config, width: int) -> int:
    """Two thirds of a width, rounded up, where a class has it so (LFM2)."""
    if config.default("block_auto_adjust_ff_dim") is None or not config.flag("block_auto_adjust_ff_dim"):
        return width
    times, multiple = config.get("block_ffn_dim_multiplier"), config.size("block_multiple_of")
    if times not in (None, 1, 1.0):
        raise config.refuse("block_ffn_dim_multiplier", "accepted: 1, null")
    width = -(-(2 * width // 3) // multiple) * multiple
    config.assume(f"feed-forward width is 2/3 of the file's, rounded up to {multiple}, as the class has it")
    return width


def experts(config: Config, family: Family) -> Fields:
    """A feed-forward network of routed experts."""
    n_experts, active = config.size("num_experts"), config.size("num_experts_per_tok")
    if active > n_experts:
        raise config.refuse(
            "num_experts_per_tok", f"is more than the {n_experts} experts; at most those are accepted"
        )
    d_expert = config.size(family.d_expert)
    other = "moe_intermediate_size"
    if family.d_expert == "intermediate_size" and config.given(other) not in (None, d_expert):
        raise config.refuse(other, f"contradicts intermediate_size {d_expert}")
    latent = config.given(family.d_latent) if family.d_latent else None
    narrow = {"ffn": "latent_moe", "d_latent": latent, "latent_norm": config.switch(family.latent_norm)}
    return {
        **({"ffn": "moe"} if latent is None else narrow),
        "n_experts": n_experts,
        "n_active_experts": active,
        "d_expert": d_expert,
        "gated_ffn": family.gated_ffn,
        "expert_bias": family.expert_bias,
        "router_bias": _router_bias(config, family),
        **_shared(config, family),
        **_groups(config),
    }


def _groups(config: Config) -> Fields:
    """Groups of experts, of which a token's lie in a few; one group, or all of them, is none."""
    groups, active = config.optional("n_group"), config.optional("topk_group")
    if groups is None or active is None or active >= groups:
        return {}
    return {"n_expert_groups": groups, "n_active_expert_groups": active}


def _router_bias(config: Config, family: Family) -> bool:
    """Whether the router has a bias, one an expert."""
    if family.router_bias != "topk_method":
        return config.switch(family.router_bias)
    missing = config.missing("topk_method")
    method = config.default("topk_method") if missing else config.get("topk_method")
    if method not in (None, "noaux_tc", "greedy", "group_limited_greedy"):
        raise config.refuse("topk_method", "accepted: noaux_tc, greedy, group_limited_greedy")
    return method in (None, "noaux_tc")


def _shared(config: Config, family: Family) -> Fields:
    """The experts that every token passes."""
    if family.shared == "one":
        if not family.d_shared:
            config.assume("one shared expert of the routed experts' width, which this model class always has")
            return {"n_shared_experts": 1}
        width = config.size(family.d_shared, low=0)
        gate = {"shared_gate": True} if family.shared_gate else {}
        return {"n_shared_experts": 1, "d_shared": width} | gate if width else {}
    if not isinstance(family.shared, str):
        return {}
    count = config.optional(family.shared, 0, family.most_shared)
    if count is None and config.missing(family.shared):
        raise config.refuse(family.shared, "is missing; give 0 or null where there is none")
    if not count:
        return {}
    return {"n_shared_experts": count} | (
        {"d_shared": config.size(family.d_shared)} if family.d_shared else {}
    )
