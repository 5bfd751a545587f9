"""Formats that quantised checkpoints have, and which modules of a model have one."""

from dataclasses import dataclass

from optimizer.hugging_face.modules import Patterns
from optimizer.hugging_face.section import Section
from optimizer.spec.checkpoint import LAYERS, Storage

NONE = Patterns(())


@dataclass(frozen=True)
class Scheme:
    """A format and the modules that have it: all linear layers, or those that `targets` mean."""

    storage: Storage
    targets: Patterns | None = None
    head: bool = False
    """Whether the language-model head is one of all linear layers."""
    embeddings: bool = False
    components: tuple[str, ...] = LAYERS


@dataclass(frozen=True)
class Quantised:
    """What a file says: schemes, the later before the earlier, and the modules that stay 16 bit."""

    schemes: tuple[Scheme, ...]
    ignored: Patterns = NONE
    kv_dtype: str | None = None
    notes: tuple[str, ...] = ()


def integer(bits: int, group: int | None, zeros: bool, scale_bits: float = 16) -> Storage:
    """Whole-number weights that are de-quantised on the fly."""
    return Storage(
        dtype="int4" if bits <= 4 else "int8",
        bits=bits,
        group=group,
        scale_bits=scale_bits,
        zero_bits=bits if zeros and group else 0,
    )


FP8 = Storage(dtype="fp8", bits=8)
NVFP4 = Storage(dtype="nvfp4", bits=4, group=16, scale_bits=8)
MXFP4 = Storage(dtype="mxfp4", bits=4, group=32, scale_bits=8)
MXFP8 = Storage(dtype="mxfp8", bits=8, group=32, scale_bits=8)
W8A8 = Storage(dtype="w8a8", bits=8)


def fp8_blocks(section: Section) -> Storage:
    """FP8 with one 32-bit scale a block, or one a tensor."""
    block = section.get("weight_block_size")
    if block is None:
        return FP8
    whole = isinstance(block, list) and len(block) == 2
    if not whole or any(isinstance(b, bool) or not isinstance(b, int) or b < 1 for b in block):
        raise section.refuse(
            "weight_block_size", "two whole numbers are accepted, rows and columns of a block"
        )
    narrow = str(section.get("scale_fmt") or "").startswith("ue8m0")
    return Storage(dtype="fp8", bits=8, block=(block[0], block[1]), scale_bits=8 if narrow else 32)
