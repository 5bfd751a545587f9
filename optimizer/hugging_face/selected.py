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
