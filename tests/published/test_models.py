"""Parameter counts of the catalogue against what its publishers state.

Guards the counting (biases, norms, tied tables) and the model files: a wrong dimension moves a count.
"""

import pytest
import samples

from optimizer import catalog
from optimizer.cost.quantities import QUANTITIES

# Counts of the weights as published on Hugging Face (safetensors totals; Llama-2-7B without its
# 32 non-trained rotary buffers), checked by hand against the formula of a dense transformer.
EXACT = {
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
}


def count(name: str) -> float:
    own = catalog.model(name)
    return QUANTITIES["n_params"].total(samples.frame(own), own)


@pytest.mark.parametrize("name", EXACT)
def test_count_is_exact(name: str) -> None:
    assert count(name) == EXACT[name]


@pytest.mark.parametrize("name", sorted(catalog.models()))
def test_count_is_within_a_thousandth_of_the_published_one(name: str) -> None:
    published = catalog.model(name).published_params
    assert published, f"{name}: no published count, and so nothing to check it by"
    assert count(name) == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("name", sorted(catalog.models()))
def test_model_states_its_source(name: str) -> None:
    assert len(catalog.model(name).source) > 10


def test_aliases_and_spellings_lead_to_one_model_each() -> None:
    """Two models that answer to the same name would make the answer depend on the order of files."""
    spellings = [spelling.lower() for m in catalog.models().values() for spelling in (m.name, *m.aliases)]
    assert len(spellings) == len(set(spellings))


def test_biases_norms_and_ties_are_counted() -> None:
    """Qwen2.5 has qkv biases, Qwen3 query-key norms, Gemma-2 four norms a layer and tied tables."""
    qwen = catalog.model("Qwen/Qwen2.5-7B")
    assert qwen.first.mixer.qkv_bias
    assert catalog.model("Qwen/Qwen3-8B").first.mixer.qk_norm
    gemma = catalog.model("google/gemma-2-9b")
    assert gemma.first.n_norms == 4
    assert gemma.tied_embeddings
