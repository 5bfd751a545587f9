"""A plan under requests that come one by one: replayed step by step, with step times of the cost model."""
