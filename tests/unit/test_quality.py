"""The loss proxy against worked numbers of the papers behind it.

Guards the constants of three fits and their order: a wrong digit moves the fourth decimal, and a count
with embeddings in the place of one without moves the shape term.
"""

from math import log

import numpy as np
import pytest

from optimizer.cost import quality

# N with and without embeddings, D, d_model, n_layers -> the shape term and the loss, to six decimals.
# Computed apart from this code from the published fits of Besiroglu et al. 2024 and of Gemstones.
PROXY = {
    "Llama-3.2-1B": (1.236e9, 0.973e9, 9e12, 2048, 16, 1.007775, 2.204052),
    "Llama-3.1-8B": (8.03e9, 6.98e9, 15e12, 4096, 32, 1.00333, 2.02857),
    "8.03B deep": (8.03e9, 6.98e9, 15e12, 3072, 57, 1.000649, 2.023149),
    "8.03B deeper": (8.03e9, 6.98e9, 15e12, 2560, 82, 1.001535, 2.02494),
    "8.03B wide": (8.03e9, 6.98e9, 15e12, 6144, 14, 1.018207, 2.058649),
    "Llama-3.1-70B": (70.55e9, 68.45e9, 15e12, 8192, 80, 1.001331, 1.93262),
    "Llama-3.1-405B": (405.85e9, 401.65e9, 15.6e12, 16384, 126, 0.999618, 1.891829),
    "Qwen3-32B": (32.76e9, 31.21e9, 36e12, 5120, 64, 1.009874, 1.965467),
}
# Chinchilla's form with Epoch's refit alone.
EPOCH = {
    (70e9, 1.4e12): 1.973882,
    (1e9, 20e9): 2.53005,
    (8.03e9, 15e12): 2.021837,
    (70.55e9, 15e12): 1.930051,
    (405.85e9, 15.6e12): 1.892553,
}
# Chen et al., arXiv 2505.14302: (dtype, N, D) -> nats. mxfp4 is W4A4 at G = 32, int4 W4A16 at G = 128.
QUANTISATION = {
    ("mxfp4", 8e9, 15e12): 0.036286,
    ("mxfp4", 70e9, 15e12): 0.022585,
    ("mxfp4", 595e6, 100e9): 0.044089,
    ("int4", 74e6, 10e9): 0.030623,
}


@pytest.mark.parametrize("name", PROXY)
def test_shape_and_loss(name: str) -> None:
    n, other, tokens, d_model, n_layers, shape, loss = PROXY[name]
    assert quality.shape(d_model, n_layers, other, tokens) == pytest.approx(shape, abs=1e-6)
    ours = quality.loss(d_model, n_layers, n, n - other, tokens)
    assert ours == pytest.approx(loss, abs=1.5e-6)


@pytest.mark.parametrize("point", EPOCH)
def test_chinchilla_form(point: tuple[float, float]) -> None:
    n, tokens = point
    ours = quality.CHINCHILLA_E + quality.CHINCHILLA_N(n) + quality.CHINCHILLA_D(tokens)
    assert ours == pytest.approx(EPOCH[point], abs=1e-6)


@pytest.mark.parametrize("point", QUANTISATION)
def test_quantisation(point: tuple[str, float, float]) -> None:
    assert quality.quantisation(*point) == pytest.approx(QUANTISATION[point], abs=1e-6)


def test_four_bits_add_to_the_loss_and_eight_do_not() -> None:
    plain = quality.loss(4096, 32, 8e9, 1e9, 15e12)
    for dtype in ("fp8", "mxfp8", "int8"):
        assert quality.loss(4096, 32, 8e9, 1e9, 15e12, dtype) == plain
    assert quality.loss(4096, 32, 8e9, 1e9, 15e12, "mxfp4") == pytest.approx(plain + 0.036286, abs=1e-6)


def test_the_reference_aspect_has_shape_one() -> None:
    """S is a ratio to the model of the same size with width / depth = 100."""
    n_layers = 40
    width = quality.REFERENCE_ASPECT * n_layers
    n = 12 * width**2 * n_layers
    assert quality.shape(width, n_layers, n, 1e12) == pytest.approx(1.0, abs=1e-12)


def test_more_parameters_and_more_tokens_lower_the_loss() -> None:
    """Along models of one aspect; at a fixed width and depth more parameters may raise it."""
    n_layers = np.arange(10, 150)
    width = 100 * n_layers
    n = 12 * width**2 * n_layers
    assert (np.diff(quality.loss(width, n_layers, n, 0, 15e12)) < 0).all()
    tokens = np.linspace(1e11, 40e12, 500)
    assert (np.diff(quality.loss(4096, 32, 8e9, 1e9, tokens)) < 0).all()


def test_a_count_below_the_tables_does_not_fail() -> None:
    """A lattice may hold points smaller than their own vocabulary tables while bounds are computed."""
    assert np.isfinite(log(float(quality.loss(512, 4, 1e6, 1e9, 1e12))))
