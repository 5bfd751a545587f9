"""A chip: dense peaks, memory, links, alignment, achieved efficiencies, price, each with its source."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.dtypes import ARITHMETIC, BYTES, ComputeDtype, WeightDtype
from optimizer.spec.links import POINT_TO_POINT, SCALEOUT, AllReduce, Collectives, Shot
from optimizer.spec.quantity import Bytes, BytesPerSecond, FlopsPerSecond, Fraction, Seconds, Watts


class ScaleUp(Strict):
    """How the chips of one domain are wired. Bandwidths are per chip and one direction."""

    topology: Literal["switch", "mesh", "torus2d", "torus3d", "pcie"]
    domain: Annotated[int, Field(ge=1, le=10**7, description="chips that reach each other over these links")]
    bandwidth: BytesPerSecond
    axis: Annotated[int, Field(ge=1, le=10**7)] = 1
    """Chips along one axis of a torus; a group shorter than this has no wrap-around."""


class Gemm(Strict):
    """Achieved shares of a product: max(FLOP/(peak compute), bytes/(bandwidth memory)) + overhead."""

    compute: Fraction
    memory: Fraction
    overhead: Seconds


class PrefillAttention(Strict):
    """Share of the bf16 peak reached on s query tokens: peak * s / (s + half)."""

    peak: Fraction
    half: Annotated[float, Field(ge=0, le=1e9)]


class ExpertKernel(Strict):
    """Constants of a fused mixture-of-experts kernel; the formula is in `optimizer.cost.experts`."""

    arithmetic: ComputeDtype | None = None
    """What its products run in, if not what the weight format does elsewhere on the chip."""
    compute: Fraction
    width_half: Annotated[float, Field(ge=0, le=1e9)]
    tile_half: Annotated[float, Field(ge=0, le=1e9)]
    memory: Fraction
    activations: Annotated[float, Field(ge=1e-3, le=20)]
    overhead: Seconds
    per_pair: Annotated[float, Field(ge=0, le=1, description="seconds per token and chosen expert")] = 0.0
    per_expert: Annotated[float, Field(ge=0, le=1, description="seconds per touched expert")] = 0.0
    vector_rows: Annotated[float, Field(ge=0, le=1024)] = 0.0
    """Rows of an expert that a vector kernel multiplies while it reads the weights once, unpadded; with
    more it reads them again. 0 where the fit has such kernels in it, or none are used."""


class Streaming(Strict):
    """An operator bound by memory traffic."""

    memory: Fraction
    overhead: Seconds


class SecondTier(Strict):
    """A larger, slower memory of one chip: what HBM cannot hold waits there."""

    kind: Literal["lpddr", "ddr", "cxl", "host", "hbm"]
    capacity: Bytes
    bandwidth: BytesPerSecond
    """Of the link or of the memory behind it, whichever is less, one way into the chip."""
    share: Fraction = 0.8
    """Of the bandwidth that long streams reach; an assumption unless a source says otherwise."""

    @property
    def achieved(self) -> float:
        """Bytes a second that a stream reaches."""
        rate: float = self.bandwidth * self.share
        return rate


class Training(Strict):
    """Shares of the peak sustained in training, fitted to steps (`optimizer.cost.training.rates`)."""

    products: dict[ComputeDtype, Fraction]
    attention: Fraction
    """Share of the bf16 peak of flash attention, forward and backward together, on long sequences."""


UNMEASURED_EXPERTS = ExpertKernel.model_construct(
    compute=0.6,
    width_half=200.0,
    tile_half=106.0,
    memory=0.70,
    activations=0.5,
    overhead=40e-6,
    per_pair=0.5e-9,
    per_expert=100e-9,
    vector_rows=4.0,
)
"""For chips whose expert kernels nobody measured: slower than the measured ones."""


class Efficiency(Strict):
    """What kernels reach of the peaks. The defaults are the fallback for a chip nobody measured."""

    gemm: dict[ComputeDtype | Literal["int4"], Gemm] = {
        "bf16": Gemm.model_construct(compute=0.50, memory=0.70, overhead=5e-6)
    }
    attention_prefill: dict[int, PrefillAttention] = {
        128: PrefillAttention.model_construct(peak=0.45, half=900.0)
    }
    attention_decode: dict[Literal["bf16", "fp8"], Streaming] = {
        "bf16": Streaming.model_construct(memory=0.70, overhead=10e-6)
    }
    elementwise: Streaming = Streaming.model_construct(memory=0.70, overhead=3e-6)
    all_reduce: dict[int, AllReduce] = {}
    collectives: Collectives = Collectives()
    point_to_point: Shot = POINT_TO_POINT
    scaleout: Shot = SCALEOUT
    experts: dict[ComputeDtype | WeightDtype, ExpertKernel] = {}
    """By the format of the weights where that was measured, else by what they are multiplied in."""
    host_speed: Annotated[float, Field(ge=1e-3, le=10)] = 1.0
    """How fast the host of the chip's usual systems launches kernels, over that of an H100 system."""
    training: Training | None = None
    measured: bool = False
    """False while the figures are the fallback and not fitted to kernels of this chip."""


class Chip(Strict):
    """One accelerator as software sees it. All FLOP/s are dense."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    vendor: str
    aliases: tuple[str, ...] = ()
    dense_flops: dict[ComputeDtype, FlopsPerSecond]
    hbm_capacity: Bytes
    hbm_usable: Bytes
    """Memory that the device shows: nvidia-smi's total, or torch's where that is the label."""
    hbm_reserved: Bytes | None = None
    """Of `hbm_usable`, what the driver keeps: torch's total_memory is the rest. None: nothing known."""
    hbm_bandwidth: BytesPerSecond
    n_cores: Annotated[int, Field(ge=1, le=10**7)]
    devices: Annotated[int, Field(ge=1, le=64, exclude_if=lambda value: value == 1)] = 1
    """Devices that software sees in it: a rank is spread over them, and they exchange what ranks would."""
    scaleup: ScaleUp
    scaleout_bandwidth: BytesPerSecond | None = None
    second_tier: SecondTier | None = None
    tdp: Watts | None = None
    power: Watts | None = None
    usd_per_chip_hour: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    alignment: dict[ComputeDtype, Annotated[int, Field(ge=1, le=10**7)]]
    """Elements that a sharded dimension must be a multiple of to run at full speed."""
    tile: tuple[Annotated[int, Field(ge=1, le=10**7)], Annotated[int, Field(ge=1, le=10**7)]] = (128, 128)
    """Output tile (rows, columns) of the default GEMM kernel, for tile and wave quantisation."""
    efficiency: Efficiency = Efficiency()
    confidence: Literal["high", "medium", "low"] = "low"
    sources: dict[str, str]
    notes: str = ""

    @model_validator(mode="after")
    def _whole(self) -> "Chip":
        if "bf16" not in self.dense_flops:
            raise ValueError("dense_flops needs bf16: every model here keeps some operators in 16 bit")
        if "bf16" not in self.alignment:
            raise ValueError("alignment needs bf16, which holds for formats that it does not name")
        if "bf16" not in self.efficiency.gemm or "bf16" not in self.efficiency.attention_decode:
            raise ValueError("efficiency.gemm and efficiency.attention_decode need bf16 figures")
        if self.hbm_usable > self.hbm_capacity:
            raise ValueError("hbm_usable is larger than hbm_capacity")
        if self.hbm_for_programs <= 0:
            raise ValueError("hbm_reserved leaves nothing of hbm_usable")
        missing = [] if "default" in self.sources else sorted(self._figures() - set(self.sources))
        if missing:
            raise ValueError(
                f"sources lacks {', '.join(missing)}; name where each figure comes from, "
                "or give one 'default' source"
            )
        return self

    def _figures(self) -> set[str]:
        described = {"name", "title", "vendor", "aliases", "confidence", "sources", "notes"}
        return {f for f in self.model_fields_set if getattr(self, f) is not None} - described

    @property
    def hbm_for_programs(self) -> float:
        """Bytes that a program can have: the device's total less what the driver keeps."""
        shown: float = self.hbm_usable
        return shown - (self.hbm_reserved or 0.0)

    def with_network(self, bandwidth: float, source: str) -> Self:
        """The chip on a network of so many bytes/s a chip, and who says so."""
        sources = self.sources | {"scaleout_bandwidth": source}
        return self.supposed(scaleout_bandwidth=bandwidth, sources=sources)

    def with_efficiency(self, efficiency: Efficiency) -> Self:
        """The chip with other efficiencies, whose source is that of its own; a what-if stays one."""
        sources = self.sources | {"efficiency": self.source("efficiency")}
        return self.supposed(efficiency=efficiency, sources=sources)

    def source(self, figure: str) -> str:
        """Where a figure of this chip comes from."""
        return self.sources.get(figure, self.sources.get("default", "not stated"))

    def arithmetic(self, weight_dtype: str) -> ComputeDtype:
        """The dtype the products run in: the weights' own where the chip has it, else bf16."""
        wanted = ARITHMETIC[weight_dtype]
        return wanted if wanted in self.dense_flops else "bf16"

    def gemm(self, weight_dtype: str) -> Gemm:
        """GEMM constants for weights of this format; bf16's where the format was not measured."""
        table = self.efficiency.gemm
        if weight_dtype in ("int8", "int4") and weight_dtype in table:
            return table[weight_dtype]
        return table.get(self.arithmetic(weight_dtype), table["bf16"])

    def experts(self, weight_dtype: str) -> ExpertKernel:
        """Constants of the expert kernel: of this format, of its arithmetic, of bf16, the fallback's."""
        table: dict[Any, ExpertKernel] = self.efficiency.experts
        for dtype in (weight_dtype, self.arithmetic(weight_dtype), "bf16"):
            if dtype in table:
                return table[dtype]
        return UNMEASURED_EXPERTS

    def aligned(self, weight_dtype: str) -> int:
        """Elements a shard must be a multiple of, for weights of this format."""
        return self.alignment.get(self.arithmetic(weight_dtype), self.alignment["bf16"])

    def activation_bytes(self, weight_dtype: str) -> float:
        """Bytes per activation element read by a GEMM whose weights have this format."""
        native = self.arithmetic(weight_dtype) != "bf16"
        return BYTES[weight_dtype] if native else BYTES["bf16"]


class Links(Strict):
    """How the chips of a system are joined, where that is not what the chip's own file says."""

    topology: Literal["switch", "mesh", "pcie"]
    bandwidth: BytesPerSecond
    """Per chip, one direction; of a mesh: all links of a chip together."""
    exchange: Shot | None = None
    """What every exchange over them takes: a latency, and the share of the bandwidth that it reaches."""


class System(Strict):
    """Chips wired into a box, pair or rack that is bought or built as one."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    aliases: tuple[str, ...] = ()
    chip: str
    n_chips: Annotated[int, Field(ge=1, le=10**7)]
    scaleup_domain: Annotated[int, Field(ge=1, le=10**7)]
    links: Links | None = None
    scaleout_bandwidth: BytesPerSecond | None = None
    power: Watts | None = None
    sources: dict[str, str]
    notes: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        described = {"name", "title", "aliases", "chip", "sources", "notes"}
        given = {f for f in self.model_fields_set if getattr(self, f) is not None} - described
        if missing := sorted(given - set(self.sources)):
            raise ValueError(f"sources lacks {', '.join(missing)}; name where each figure comes from")
        return self

    def wired(self, chip: Chip) -> Chip:
        """The chip in this system: its domain, and its links where they are others than the chip's own."""
        links, scaleup = self.links, chip.scaleup.changed(domain=self.scaleup_domain)
        if links is None:
            return chip.changed(scaleup=scaleup)
        scaleup = scaleup.changed(topology=links.topology, bandwidth=links.bandwidth, axis=1)
        sources = chip.sources | {"scaleup": f"{self.name}: {self.sources['links']}"}
        efficiency = _exchanging(chip.efficiency, links.exchange) if links.exchange else chip.efficiency
        return chip.changed(scaleup=scaleup, sources=sources).with_efficiency(efficiency)


def _exchanging(efficiency: Efficiency, shot: Shot) -> Efficiency:
    """Efficiencies whose every exchange inside a domain takes a latency and a share of the link."""
    twice = shot.changed(latency=2 * shot.latency)
    sizes: dict[int, tuple[Shot, ...]] = {2: (shot,)}
    return efficiency.changed(
        all_reduce={2: AllReduce.model_construct(one_shot=shot, two_shot=twice)},
        collectives=Collectives.model_construct(all_gather=sizes, reduce_scatter=sizes, all_to_all=sizes),
        point_to_point=shot,
    )
