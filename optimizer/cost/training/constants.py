"""The few constants of training that no datasheet gives, and what each was fitted on."""

LAUNCH_S = 3e-6
CAST_BYTES = 4.0
"""Bytes through memory for each element quantised: read in 16 bit, written in 8 bit twice (also transposed)."""
ELEMENTWISE_BACKWARD = 2.0
FLASH_BACKWARD = 2.5
"""Products of a flash kernel's backward pass against its forward: five against two (Dao, arXiv 2307.08691)."""
UNFUSED = 1.0
TP_EXPOSED = 1.0
EP_EXPOSED = 1.0
LEAK = 0.1
"""Share of hidden communication that still costs time: it takes cores and memory bandwidth."""
SUSTAINED = 0.93
"""Speed of a long run against isolated kernels: power, jitter, data loading."""
