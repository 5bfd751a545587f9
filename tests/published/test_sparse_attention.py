"""Sparse attention against what others counted: caches of a million tokens, elements of an index, arithmetic.

Held out: nothing of the cost model was fitted to any of these.
"""

import pytest
import samples

from optimizer import catalog
from optimizer.blocks import block, dsa, mla
from optimizer.cost import memory
from optimizer.cost.parameters import parameter_counts
from optimizer.cost.training.flops import forward_flops
from optimizer.spec.architecture import Architecture

MILLION = 2**20


def cache_gib(name: str, tokens: int = MILLION, kv_dtype: str = "bf16") -> float:
    """Cache of one sequence in all layers."""
    own = catalog.model(name)
    frame = samples.frame(own, input_tokens=tokens - 1, output_tokens=1, kv_dtype=kv_dtype)
    return float(sum(g.count * memory.kv_bytes(g.block.mixer, frame) for g in own.layers)) / 2**30


@pytest.mark.parametrize(
    ("name", "gib", "digits"),
    [
        ("deepseek-v4-pro", 9.62, 2),  # blog of vLLM, "DeepSeek V4 in vLLM", 2026-04-24: bf16
        ("deepseek-v3.2", 83.9, 1),  # the same: a stack of 61 layers as in V3.2
        ("deepseek-v4-flash", 6.72, 2),  # a reader's count by the same rules, r/LocalLLaMA, 2026-04-26
    ],
)
def test_caches_of_a_million_tokens(name: str, gib: float, digits: int) -> None:
    assert round(cache_gib(name), digits) == gib


@pytest.mark.parametrize(("name", "share"), [("deepseek-v4-pro", 0.10), ("deepseek-v4-flash", 0.07)])
def test_caches_against_those_of_v32(name: str, share: float) -> None:
    """Technical report of DeepSeek-V4: 10 % and 7 % of V3.2's cache at a million tokens.

    Its keys of the index have 4 bit, here those of the cache, 8: a hundredth more.
    """
    found = cache_gib(name, kv_dtype="fp8") / cache_gib("deepseek-v3.2", kv_dtype="fp8")
    assert share < found < share + 0.016
    own = catalog.model(name)
    picked = sum(g.count for g in own.layers if g.block.mixer.n_index_heads)
    narrower = found - picked * MILLION / 4 * 128 / 2 / 2**30 / cache_gib("deepseek-v3.2", kv_dtype="fp8")
    assert round(narrower, 2) == share


def test_elements_of_an_index() -> None:
    """Headers of DeepSeek-V3.2's files: 894,178,880 bytes of indexes in 62 layers, one of them not ours.

    Queries and key in 8 bit with a scale of 4 bytes for each 128 x 128, weights of heads in 16, norms in 32.
    """
    own = catalog.model("deepseek-v3.2")
    half = own.first.mixer
    queries, key, heads, norms = 1536 * 64 * 128, 7168 * 128, 7168 * 64, 2 * 128
    assert 62 * ((queries + key) * (1 + 4 / 128**2) + 2 * heads + 4 * norms) == 894_178_880
    counted = dsa.n_params(half, own.d_model) - mla.n_params(half, own.d_model)
    assert counted == queries + key + heads + norms


def test_total_of_v32_with_its_draft_module_and_scales() -> None:
    """685,396,921,376 elements: one more layer with tables, a product of 2 d x d, norms, and scales."""
    own = catalog.model("deepseek-v3.2")
    layer = own.layers[-1].block
    more = sum(block(half).n_params(half, own.d_model) for half in (layer.mixer, layer.ffn))
    more += 2 * own.vocab_size * own.d_model + 2 * own.d_model**2 + 5 * own.d_model
    scales = 41_591_584
    assert parameter_counts(own).total + more + scales == pytest.approx(685_396_921_376, rel=1e-6)


def decode_flops(own: Architecture, tokens: int) -> float:
    """FLOP of one token with so many behind it: twice the active parameters, and what attention adds."""
    found = forward_flops(own, tokens)
    before = forward_flops(own, tokens - 4096)
    attention = (found.attention_causal * tokens - before.attention_causal * (tokens - 4096)) / 4096
    return found.layers + found.head + attention


@pytest.mark.parametrize(("name", "share"), [("deepseek-v4-pro", 0.27), ("deepseek-v4-flash", 0.10)])
def test_arithmetic_against_that_of_v32(name: str, share: float) -> None:
    """Technical report of DeepSeek-V4: 27 % and 10 % of V3.2's FLOP a token at a million tokens.

    It weighs FLOP by format (4, 8, 16 bit), which is not said in full; here all count alike: within three
    hundredths.
    """
    ours = decode_flops(catalog.model(name), MILLION) / decode_flops(catalog.model("deepseek-v3.2"), MILLION)
    assert ours == pytest.approx(share, abs=0.03)
