"""Best training deployments, proven: settings, splits priced, seconds, the winner.

    python benchmarks/training_search.py      (under a minute)

For comparison, calculon (calculon-ai/calculon @caa4b11f) counts 11,698,528 executions for GPT-3 175B on
1,024 A100 and 10,295,264 for Megatron-1T on 4,096, and evaluated about 175 a second with two processes on a
machine like this one: 15 to 18 hours. Its executions also vary offloading and the overlap of messages, which
are fixed here;
ours vary context parallelism, the ZeRO stage and its group, uneven stages and idle chips instead.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from optimizer.questions.training.problem import TrainingProblem
from optimizer.spec.training import TrainingSetup
from optimizer.studies import solve as train_solve

MEGATRON_1T = str(Path(__file__).parent / "megatron-1t.yaml")
JOBS = [
    ("openai/gpt-3-175b", "nvidia-a100-80-sxm", 1024, 1536, 2048, {}),
    (MEGATRON_1T, "nvidia-a100-80-sxm", 4096, 3072, 2048, {}),
    ("openai/gpt-3-175b", "nvidia-a100-80-sxm", 4096, 3072, 2048, {}),
    ("meta-llama/Llama-3.1-405B", "nvidia-h100-sxm", 16384, 2048, 8192, {"schedule": "1f1b"}),
    ("deepseek-ai/DeepSeek-V3", "nvidia-h100-sxm", 2048, 3072, 4096, {"dtype": "fp8", "schedule": "1f1b"}),
]


def main() -> None:
    """Print one row per job."""
    print("| model | chips | settings | splits | priced | s | CPU s | tokens/s | MFU | setting |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model, chip, chips, batch, tokens, setup in JOBS:
        problem = TrainingProblem.model_validate(
            {
                "name": model.split("/")[-1].removesuffix(".yaml"),
                "train_model": model,
                "hardware": chip,
                "chips": chips,
                "global_batch": batch,
                "sequence_length": tokens,
                "maximize": "train_tokens_per_s",
                "setup": setup,
            }
        )
        start, busy = time.perf_counter(), time.process_time()
        result = train_solve.solve(problem)
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
        c = result.certificate
        name = model.split("/")[-1].removesuffix(".yaml")
        print(
            f"| {name} | {chips} {chip} | {c.settings:,} | {c.splits:,} | {c.splits_priced} | "
            f"{wall:.1f} | {cpu:.1f} | {result.objective.value:,.0f} | {result.metrics['mfu']:.1%} | "
            f"{setting(result.estimate.setup)} ({result.status}) |"
        )


def setting(s: TrainingSetup) -> str:
    """A setup in short."""
    return (
        f"TP{s.tensor_parallel} PP{s.pipeline_parallel}x{s.pipeline_interleave} CP{s.context_parallel} "
        f"EP{s.expert_parallel} DP{s.data_parallel} b{s.microbatch} {s.recompute} ZeRO{s.zero_stage}"
    )


if __name__ == "__main__":
    main()
