"""The mixers of a config.json that keep a state of fixed size: Mamba, delta nets, lightning attention."""

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family


def delta_net(config: Config, family: Family, d_model: int) -> Fields:
    """A gated DeltaNet mixer."""
    heads = config.default("num_attention_heads")
    like = None if heads is None else (config.size("num_attention_heads"), "num_attention_heads")
    keys, values = config.size("linear_num_key_heads", like), config.size("linear_num_value_heads", like)
    if values % keys:
        raise config.refuse("linear_num_key_heads", f"does not divide linear_num_value_heads {values}")
    width = 3 * d_model // (4 * keys)
    d_key = config.size("linear_key_head_dim", (width, "3/4 hidden_size / linear_num_key_heads"))
    return {
        "mixer": "gated_deltanet",
        "n_key_heads": keys,
        "n_value_heads": values,
        "d_key": d_key,
        "d_value": config.size("linear_value_head_dim", (2 * d_key, "2 linear_key_head_dim")),
        "d_conv": config.size("linear_conv_kernel_dim"),
    }


def kimi_delta(config: Config, family: Family, d_model: int) -> Fields:
    """A Kimi delta attention mixer."""
    return {
        "mixer": "kda",
        "n_linear_heads": config.size("linear_num_heads"),
        "d_linear_head": config.size("linear_head_dim"),
        "d_conv": config.size("linear_conv_kernel_dim"),
        "full_rank_gate": config.switch(family.full_rank_gate),
    }


def convolution(config: Config, family: Family, d_model: int) -> Fields:
    """A gated short convolution in as many channels as hidden_size."""
    return {"mixer": "short_conv", "d_inner": d_model, "d_conv": config.size("conv_L_cache")}


def mamba1(config: Config, family: Family, d_model: int) -> Fields:
    """A Mamba-1 mixer."""
    _plain(config)
    inner = config.size("mamba_expand") * d_model
    if family.layout == "mixers" and config.given("intermediate_size") not in (None, inner):
        raise config.refuse("intermediate_size", f"contradicts expand x hidden_size, {inner}")
    if "auto" in (
        config.get("mamba_dt_rank"),
        config.default("mamba_dt_rank") if config.missing("mamba_dt_rank") else "",
    ):
        d_dt = -(-d_model // 16)
    else:
        d_dt = config.size("mamba_dt_rank", (-(-d_model // 16), "hidden_size / 16"))
    return {
        "mixer": "mamba1",
        "d_inner": inner,
        "d_state": config.size("mamba_d_state"),
        "d_dt": d_dt,
        "scan_norm": family.scan_norm is True,
        "d_conv": config.size("mamba_d_conv"),
    }


def mamba2(config: Config, family: Family, d_model: int) -> Fields:
    """A Mamba-2 mixer; it has no bottleneck of step sizes, though files may say its rank."""
    _plain(config)
    config.used.update(config.spelled("mamba_dt_rank"))
    heads = config.size("mamba_n_heads")
    inner = config.optional("mamba_d_ssm") or (config.optional("mamba_expand") or 0) * d_model
    head = config.get("mamba_d_head")
    if head in (None, "auto"):
        if not inner or inner % heads:
            raise config.refuse(
                "mamba_d_head", f"is missing, and {heads} heads do not divide {inner} channels"
            )
        width = inner // heads
        config.assume(f"mamba_d_head is not given; taken as the channels over the heads, {width}")
    else:
        width = config.size("mamba_d_head")
    return {
        "mixer": "mamba2",
        "d_inner": heads * width,
        "d_ssm_head": width,
        "d_state": config.size("mamba_d_state"),
        "n_groups": config.size("mamba_n_groups"),
        "scan_norm": config.switch(family.scan_norm),
        "d_conv": config.size("mamba_d_conv"),
    }


def _plain(config: Config) -> None:
    """A convolution with a bias and projections without: there is no block of others."""
    if config.default("mamba_conv_bias") is not None and not config.flag("mamba_conv_bias"):
        raise config.refuse("mamba_conv_bias", "a convolution without bias is not understood; accepted: true")
    for name in ("mamba_proj_bias", "projectors_bias"):
        if config.get(name):
            raise config.refuse(name, "projections with a bias are not understood; accepted: false")


def lightning(config: Config, family: Family, d_model: int) -> Fields:
    """A lightning attention mixer: as many heads as softmax attention has, of the same width."""
    heads = config.size("num_attention_heads")
    d_head = config.size("head_dim", (d_model // heads, "hidden_size / num_attention_heads"))
    return {"mixer": "lightning", "n_heads": heads, "d_head": d_head}
