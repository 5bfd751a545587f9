"""The fields of every kind of layer half, as tests spell them."""

from optimizer.blocks.csa import CompressedAttention as Csa
from optimizer.blocks.dense_ffn import DenseFeedForward
from optimizer.blocks.dsa import DeepSeekSparseAttention as Dsa
from optimizer.blocks.gated_deltanet import GatedDeltaNet
from optimizer.blocks.gqa import GroupedQueryAttention
from optimizer.blocks.kda import KimiDeltaAttention as Kda
from optimizer.blocks.latent_moe import LatentMixtureOfExperts as LatentMoe
from optimizer.blocks.lightning import Lightning
from optimizer.blocks.mamba1 import Mamba1
from optimizer.blocks.mamba2 import Mamba2
from optimizer.blocks.mla import MultiHeadLatentAttention as Mla
from optimizer.blocks.moe import MixtureOfExperts
from optimizer.blocks.msa import MiniMaxSparseAttention as Msa
from optimizer.blocks.no_ffn import NoFeedForward
from optimizer.blocks.no_mixer import NoMixer
from optimizer.blocks.ple import PerLayerEmbedding
from optimizer.blocks.short_conv import ShortConvolution

__all__ = [
    "Csa",
    "DenseFeedForward",
    "Dsa",
    "GatedDeltaNet",
    "GroupedQueryAttention",
    "Kda",
    "LatentMoe",
    "Lightning",
    "Mamba1",
    "Mamba2",
    "MixtureOfExperts",
    "Mla",
    "Msa",
    "NoFeedForward",
    "NoMixer",
    "PerLayerEmbedding",
    "ShortConvolution",
]
