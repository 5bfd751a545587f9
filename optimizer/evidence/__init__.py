"""Measured against predicted: points of others and our own, their scores, and constants fitted to them."""
