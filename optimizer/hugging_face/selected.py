"""The attention of a config.json to what a small index picks: tokens or blocks of them."""

from optimizer.hugging_face.attention import grouped_query, latent
from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family


def selected_latent(config: Config, family: Family, d_model: int) -> Fields:
    """Latent attention to the tokens that an index picks (DeepSeek-V3.2, GLM-5)."""
    own = config.get("indexer_type")
    if own not in (None, "full", "shared"):
        raise config.refuse("indexer_type", "accepted: full, shared")
    return latent(config, family) | {
        "mixer": "dsa",
        "n_index_heads": config.size("index_n_heads"),
        "d_index": config.size("index_head_dim"),
        "n_selected": config.size("index_topk"),
        "own_index": own != "shared",
    }


def compressed(config: Config, family: Family, d_model: int) -> Fields:
    """Attention to a window and to tokens compressed to entries, of which an index picks some (DeepSeek-V4).

    Entries of few tokens are picked from, those of many are all attended to.
    """
    rate = config.get("compression")
    picked = rate is not None and rate == config.size("rate_picked")
    if config.given("num_key_value_heads") not in (None, 1):
        raise config.refuse("num_key_value_heads", "all heads share one key; accepted: 1")
    return {
        "mixer": "csa",
        "n_heads": config.size("num_attention_heads"),
        "d_head": config.size("head_dim"),
        "d_q_latent": config.size("q_lora_rank"),
        "d_output_latent": config.size("o_lora_rank"),
        "n_output_groups": config.size("o_groups"),
        "local_window": config.size("sliding_window"),
        "compression": rate,
        "n_index_heads": config.size("index_n_heads") if picked else 0,
        "d_index": config.size("index_head_dim"),
        "n_selected": config.size("index_topk"),
    }


def selected_blocks(config: Config, family: Family, d_model: int) -> Fields:
    """Grouped-query attention to the blocks of tokens that an index picks (MiniMax-M3)."""
    kv_heads = config.size("num_key_value_heads")
    if config.size("index_n_heads") != kv_heads:
        raise config.refuse("index_n_heads", f"one a key-value head is understood; accepted: {kv_heads}")
    return grouped_query(config, family, d_model) | {
        "mixer": "msa",
        "d_index": config.size("index_head_dim"),
        "n_blocks": config.size("index_topk_blocks"),
        "d_block": config.size("index_block_size"),
    }
