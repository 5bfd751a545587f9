"""Tile and wave quantisation: the share of launched arithmetic that is useful.

A kernel computes whole output tiles, and a chip of S cores runs tiles in waves of S:
    waves = ceil(ceil(m/tile_m) ceil(n/tile_n) / S),  efficiency = m n / (waves S tile_m tile_n)
(NVIDIA, Matrix Multiplication Background User's Guide.) It is a score and a tie-break, not part of the
predicted time: on Hopper and Blackwell, libraries with persistent kernels hide most of it, and adding it
made the fit of H100 bf16 worse.
"""

import numpy as np

from optimizer.blocks.operators import Gemm, Number
from optimizer.spec.chip import Chip


def wave_efficiency(m: Number, n: Number, tile: tuple[int, int], n_cores: int) -> Number:
    """Useful share of the arithmetic of an (m x n) output; 1 is perfect."""
    tiles = np.ceil(np.asarray(m) / tile[0]) * np.ceil(np.asarray(n) / tile[1])
    return m * n / (np.ceil(tiles / n_cores) * n_cores * tile[0] * tile[1])


def gemm_efficiency(operators: list[Gemm], chip: Chip) -> Number:
    """Useful share over several products, weighted by their arithmetic."""
    useful = sum(g.m * g.n * g.k for g in operators)
    launched = sum(g.m * g.n * g.k / wave_efficiency(g.m, g.n, chip.tile, chip.n_cores) for g in operators)
    return useful / launched
