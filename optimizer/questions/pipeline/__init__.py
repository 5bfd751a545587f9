"""Which layers on which of several unlike chips? One replica as a pipeline."""
