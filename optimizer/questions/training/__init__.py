"""How should a training run be split, or how few chips do?"""
