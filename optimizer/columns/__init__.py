"""Frames, kinds and their costs as arrays: what a search chooses from, and bounds on what it can find."""
