"""How the clients of a row ask: what it says, and what is taken to be where it says nothing."""

from typing import Any

from optimizer.evidence.names import word
from optimizer.evidence.readings import Unreadable, count_of, number_of
from optimizer.spec.protocol import PER_CLIENT, RANGE_RATIO

_INFERENCEX_INTERVAL = 10
"""SemiAnalysisAI/InferenceX: stream_interval of its scripts for TensorRT-LLM and SGLang."""


def protocol_of(row: dict[str, str], users: str, regime: str) -> dict[str, Any]:
    """How clients ask, as far as a row says."""
    if regime != "concurrency":
        return {}
    found: dict[str, Any] = {"users": count_of({"users": users}, "users")}
    if row.get("n_prompts"):
        found["per_client"] = max(1.0, count_of(row, "n_prompts") / found["users"])
    if row.get("range_ratio"):
        found["range_ratio"] = number_of(row, "range_ratio")
        if found["range_ratio"] > 1:
            raise Unreadable("range_ratio is not a share of the length from 0 to 1")
    if row.get("stream_interval"):
        found["stream_interval"] = count_of(row, "stream_interval")
    elif _streams_slowly(row):
        found["stream_interval"] = _INFERENCEX_INTERVAL
    return found


def _streams_slowly(row: dict[str, str]) -> bool:
    """Whether a row is of a suite whose scripts have such servers send several tokens together."""
    engine = word(row.get("engine", ""))
    return row.get("source_key") == "inferencex" and engine.startswith(("tensorrtllm", "trtllm", "sglang"))


def assumed_of(row: dict[str, str], regime: str) -> tuple[str, ...]:
    """What a row does not say of its clients and its cache, in words."""
    if regime != "concurrency":
        return ()
    said = {
        f"{PER_CLIENT:g} requests a client": row.get("n_prompts"),
        f"lengths from {RANGE_RATIO:g} of the nominal": row.get("range_ratio"),
        f"{_INFERENCEX_INTERVAL} tokens sent together": row.get("stream_interval")
        or not _streams_slowly(row),
        "cache of 8 bit beside weights of 8 bit or less, else of 16": (row.get("kv_dtype") or "").strip(),
    }
    return tuple(words for words, given in said.items() if not given)
