"""Seconds and bytes of a training step: its job, its layout over chips, its messages and its memory."""
