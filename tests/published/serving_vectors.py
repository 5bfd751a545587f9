"""How rows of vectors.json about mixtures, latents, states, exchanges and serving are computed.

Each function puts the row's inputs into the project's own functions; none holds the row's formula.
"""

from typing import Any

import samples

from optimizer.anatomy.estimate import energy
from optimizer.blocks import mla
from optimizer.blocks import operators as ops
from optimizer.cost import experts, memory, queueing
from optimizer.cost.collectives import Group, all_gather_s
from optimizer.cost.disaggregation import (
    decode_worker_rate,
    hand_over,
    pool_ratio,
    prefill_worker_rate,
    prompt_cache_bytes,
)
from optimizer.cost.frame import Slice
from optimizer.cost.overlap import two_microbatches_s
from optimizer.cost.parameters import parameter_counts
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.roofline import Roofline
from optimizer.cost.serving import largest_batch
from optimizer.cost.two_tier import read_s
from optimizer.objectives import usd_per_million_tokens
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.engine import IDEAL
from optimizer.spec.split import Formats, Split

NOTHING = "1e-18 s"


def architecture(**fields: Any) -> Architecture:
    """A grouped-query model with some fields of the row."""
    base = {"name": "vector", "d_model": 4096, "vocab_size": 32000, "d_ff": 4096, "d_head": 128}
    return Architecture.model_validate(base | {"n_heads": 64, "n_kv_heads": 8, "n_layers": 1} | fields)


def latent(i: dict, **fields: Any) -> Architecture:
    own = {"n_layers": i["L"], "d_kv_latent": i["kv_lora"], "d_rope": i["d_rope"], "d_nope": 128}
    base = {"name": "vector", "d_model": 7168, "vocab_size": 129280, "d_ff": 18432, "n_heads": 128}
    return Architecture.model_validate(base | own | {"d_value": 128, "d_q_latent": 1536} | fields)


def linked(bandwidth: float, share: float = 1.0, domain: int = 1, **fields: Any) -> Chip:
    """A chip whose links reach a share of a bandwidth, inside the domain and outside, and start at once."""
    shot = {"latency": NOTHING, "link": share}
    tables = {op: {2: [shot]} for op in ("all_gather", "reduce_scatter", "all_to_all")}
    nothing = {"memory": 1.0, "overhead": NOTHING}
    product = {"compute": 1.0} | nothing
    return samples.chip(
        scaleup={"topology": "switch", "domain": domain, "bandwidth": f"{bandwidth!r} B/s"},
        scaleout_bandwidth=f"{bandwidth!r} B/s",
        efficiency={
            "collectives": tables,
            "scaleout": shot,
            "gemm": {"bf16": product, "fp8": product},
            "attention_decode": {"bf16": nothing},
            "elementwise": nothing,
        },
        **fields,
    )


def moe_params(i: dict) -> dict | int:
    own = architecture(
        d_model=i["h"],
        vocab_size=i["V"],
        n_layers=i["L"],
        n_heads=i["n_q"],
        n_kv_heads=i["n_kv"],
        d_head=i["d_h"],
        qk_norm=i.get("qk_norm", False),
        n_experts=i["E"],
        n_active_experts=i["k"],
        d_expert=i["f"],
    )
    counts = parameter_counts(own)
    return {"total": counts.total, "active": counts.active} if i["E"] == 128 else counts.total


def deepseek_params(i: dict) -> dict:
    own = latent(
        i,
        n_dense_layers=i["dense_layers"],
        n_experts=i["E"],
        n_active_experts=i["k"],
        d_expert=i["f"],
        n_shared_experts=i["shared"],
        d_ff=i["F_dense"],
    )
    counts = parameter_counts(own)
    return {
        "attn_per_layer": mla.n_params(own.first.mixer, own.d_model),
        "total": counts.total,
        "active_incl_embeddings": counts.active,
        "active_excl_input_embedding": counts.active_without_input_table,
    }


def mamba2(**fields: Any) -> Architecture:
    base = {"name": "vector", "d_model": 2560, "vocab_size": 50288, "tied_embeddings": True, "n_norms": 1}
    group = {"mixer": "mamba2", "ffn": "no_ffn"}
    return Architecture.model_validate(base | fields | {"layers": [group | {"count": fields["n_layers"]}]})


def mamba2_params(i: dict) -> int:
    own = mamba2(
        n_layers=i["L"],
        d_model=i["d"],
        d_inner=i["expand"] * i["d"],
        d_ssm_head=i["headdim"],
        d_state=i["d_state"],
        n_groups=i["ngroups"],
        d_conv=i["d_conv"],
        vocab_size=i["V_padded"],
    )
    return parameter_counts(own).total


def mamba2_state(i: dict) -> float:
    inner = i["H"] * i["P"]
    groups = (i["conv_dim"] - inner) // (2 * i["N"])
    own = mamba2(
        n_layers=i["L"], d_inner=inner, d_ssm_head=i["P"], d_state=i["N"], n_groups=groups, d_conv=i["d_conv"]
    )
    return memory.cache_bytes(samples.frame(own, input_tokens=10**6), own)


def cache_of_one_token(i: dict) -> float:
    own = latent(i)
    f = samples.frame(own, tensor_parallel=i.get("tp", 1), input_tokens=0, output_tokens=1)
    return memory.cache_bytes(f, own)


def window_cache(i: dict) -> float:
    groups = [{"count": i["L_swa"], "attention_window": i["W"]}, {"count": i["L_full"]}]
    own = architecture(
        n_layers=i["L_swa"] + i["L_full"], n_kv_heads=i["n_kv"], d_head=i["d_h"], layers=groups
    )
    return memory.cache_bytes(samples.frame(own, input_tokens=i["s"], output_tokens=0), own)


def touched(i: dict) -> float:
    return float(experts.touched_experts(ops.Experts("", i["B"], 1, 1, i["E"], i["k"], i["E"], True)))


def low_latency_rate(i: dict) -> float:
    """Low-latency kernels send a copy to every expert; 8 bit with a 32-bit scale per 128 values."""
    dtype = "bf16" if "b" in i else "mxfp8"  # mxfp8 has the same bytes: one per 32
    return experts.exchange_bytes(i["tokens"], i["k"], i["h"], dtype) / i["t_us"] / 1e3


def exchange_bound(i: dict) -> dict:
    """So many ranks that no two experts of a token share one; nothing else takes time."""
    ranks = 10**6
    chip = linked(i["bw"], domain=ranks, dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"})
    rates = Roofline(chip, Split(), Formats("fp8"))
    both = [
        ops.ExpertExchange("", i["tokens"], i["h"], 256, i["k_plus_shared"], ranks, ranks, outward)
        for outward in (True, False)
    ]
    layer = float(rates.seconds(both))
    tpot = i["L"] * float(two_microbatches_s(0.0, layer))
    return {"t_us": 1e6 * layer, "TPOT_ms": 1e3 * tpot, "tok_s": 1 / tpot}


def exchange_volumes(i: dict) -> dict:
    chip = linked(1e11, domain=8, dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"})

    def volume(kind: str) -> float:
        rates = Roofline(chip, Split(), Formats("fp8"), IDEAL.model_copy(update={"expert_exchange": kind}))
        way = (i["T_rank"], i["h"], 128, i["k"], i["ep"], i["ep"])
        return sum(float(rates.cost(ops.ExpertExchange("", *way, out)).link_bytes) for out in (True, False))

    return {"agrs": volume("all_gather"), "a2a": volume("all_to_all")}


def ring_latency_us(i: dict) -> float:
    """Two chips measured, six ring steps added."""
    own = f"{i['base'] + i['step']} us"
    table = {"collectives": {"all_gather": {2: [{"latency": own, "link": 0.7}]}}}
    return 1e6 * float(all_gather_s(0.0, Group(i["n"], i["n"]), samples.chip(efficiency=table))[0])


def latent_flops(i: dict) -> float:
    op = ops.LatentAttention("", i["B"], i["s"], i["n"], i["c"], i["d_rope"])
    return float(Roofline(samples.chip(), Split(), Formats("bf16")).cost(op).flops)


def drafted_tokens(i: dict) -> float:
    f = samples.frame(architecture(), draft_tokens=i["gamma"], draft_acceptance=i["alpha"])
    return f.tokens_per_step


def drafted_speedup(i: dict) -> float:
    """Wide layers at batch 1 on a chip bound by memory alone: verifying costs what one token costs."""
    own = architecture(d_model=65536, d_head=1024, d_ff=262144, n_layers=2)
    chip = linked(1e11, dense_flops={"bf16": "1000000 PFLOP/s"})
    drafts = {"draft_tokens": i["gamma"], "draft_acceptance": i["alpha"], "draft_cost": i["c"]}

    def token_s(**fields: Any) -> float:
        f = samples.frame(own, chip, input_tokens=1, output_tokens=1, **fields)
        return QUANTITIES["decode_s"].total(f, own) / f.tokens_per_step

    return token_s() / token_s(**drafts)


def transfer_ms(i: dict) -> float:
    own = architecture(n_layers=i["kv"] // (4 * 8 * 128))
    f = samples.frame(own, linked(i["W"], i["e"]), input_tokens=i["s"])
    return 1e3 * hand_over(f, f, own).transfer_s


def cache_128k(i: dict) -> dict:
    own = architecture(n_layers=i["kv"] // (4 * 8 * 128))
    f = samples.frame(own, linked(87e9), input_tokens=i["s"])
    size = prompt_cache_bytes(f, own)
    return {
        "GB": size / 1e9,
        "GiB": size / memory.GIB,
        "t_at_87GBps_s": hand_over(f, f, own).transfer_s,
    }


def pools(i: dict) -> float:
    """One chip a worker; a batch of 100 keeps the stated rate."""
    f = samples.frame(architecture(), batch=100, input_tokens=i["isl"], output_tokens=i["osl"])
    prefill = prefill_worker_rate(f, i["isl"] / i["prefill_tok_s_gpu"])
    decode = decode_worker_rate(f, 100 / i["decode_tok_s_gpu"])
    return float(pool_ratio(prefill, decode, i["eta_p"], i["eta_d"]))


def day(i: dict) -> float:
    """Rent of a day, back from the price of a token at any rate: here 1000 tokens a second."""
    chips = round(i["nodes"] * i["gpus"])
    f = samples.frame(
        architecture(), samples.chip(usd_per_chip_hour=i["usd_h"]), batch=chips, data_parallel=chips
    )
    per_million = float(usd_per_million_tokens.value(Slice(f, 1), chips / 1000))
    return per_million * 1000 * i["h"] * 3600 / 1e6


def joules(i: dict) -> float:
    """The chip's all-in power is its draw at this load, with the building's share."""
    power = i["W_gpu"] * i["util"] * i["pue"]
    f = samples.frame(architecture(), samples.chip(power=f"{power!r} W"), tensor_parallel=i["gpus"])
    return energy(f, {"output_tokens_per_s": i["tok_s"]})["joules_per_output_token"]


def erlang(i: dict) -> dict:
    wait = queueing.wait_s(i["rho"], i["S"], i["c"], variation=1.0)
    return {"C": float(queueing.erlang_c(i["c"], i["rho"])), "Wq": float(wait)}


def sequences(i: dict) -> int:
    """The engine schedules one token a step, so that its working buffers do not count."""
    own = architecture(d_model=8192, vocab_size=128256, n_layers=80, d_ff=28672)
    chip = samples.chip(
        hbm_capacity=f"{i['cap']} B",
        hbm_usable=f"{i['cap']} B",
        dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"},
    )
    engine = IDEAL.model_copy(
        update={"cache_share": i["frac"], "reserve_gib": i["reserve"] / memory.GIB, "step_tokens": 10**6}
    )
    f = samples.frame(
        own,
        chip,
        engine=engine,
        weight_dtype="fp8",
        kv_dtype="fp8",
        input_tokens=1,
        output_tokens=i["seq"] - 1,
    )
    return largest_batch(f, own)


def two_tiers(i: dict) -> dict:
    tiers = (i["hot_bytes"], i["cold_bytes"], i["bw_hot"], i["bw_cold"])
    return {"overlap_ms": 1e3 * read_s(*tiers), "serial_ms": 1e3 * read_s(*tiers, overlapped=False)}


SERVING = {
    "params_qwen3-235b": moe_params,
    "params_mixtral": moe_params,
    "params_deepseek": deepseek_params,
    "params_mamba2": mamba2_params,
    "kv_bytes_dsv3_mla": cache_of_one_token,
    "mla_tp_replication": cache_of_one_token,
    "kv_bytes_swa": window_cache,
    "mamba2_state_bytes": mamba2_state,
    "moe_distinct": touched,
    "ep_distinct_ranks": lambda i: experts.distinct_ranks(i["ep"], i["k"]),
    "deepep_ll": low_latency_rate,
    "ep_comm_bound": exchange_bound,
    "agrs_vs_a2a": exchange_volumes,
    "nccl_ring_ll_latency_allgather8": ring_latency_us,
    "mla_decode_flops": latent_flops,
    "spec_expected_tokens": drafted_tokens,
    "mtp1_tokens": drafted_tokens,
    "spec_speedup": drafted_speedup,
    "kv_transfer": transfer_ms,
    "mooncake": cache_128k,
    "pd_ratio": pools,
    "cost_deepseek_day": day,
    "joules_per_token": joules,
    "little_law": lambda i: queueing.decoding(i["rate"], i["osl"], i["tpot_ms"] / 1e3),
    "queue_md1": lambda i: float(queueing.wait_s(i["rho"], i["S"])),
    "queue_mg1": lambda i: float(queueing.wait_s(i["rho"], i["S"], variation=i["cv2"])),
    "erlang_c": erlang,
    "max_batch_70b_h200": sequences,
    "two_tier": two_tiers,
}
