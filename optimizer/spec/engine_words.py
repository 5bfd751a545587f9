"""What engines call the figures of a profile, and what these are here.

Needs nothing that is slow to import: the command line starts with it.
"""

SPELLINGS = {
    "gpu_memory_utilization": "memory_share",
    "mem_fraction_static": "memory_share",
    "free_gpu_memory_fraction": "cache_share",
    "max_num_batched_tokens": "step_tokens",
    "chunked_prefill_size": "step_tokens",
    "max_num_tokens": "step_tokens",
    "max_num_seqs": "max_sequences",
    "max_running_requests": "max_sequences",
}
"""vLLM, SGLang and TensorRT-LLM; where they agree on a word it is here once."""
