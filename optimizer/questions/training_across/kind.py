"""How should a training run be split over clusters of unlike chips?"""

from typing import Any

KEYS = ("train_on",)
PROBLEM = "problem:AcrossProblem"
QUESTION = "question:AcrossQuestion"


def claims(data: dict[str, Any]) -> bool:
    """Clusters to train on are of this kind, though its model is named as for one kind of chip."""
    return "train_on" in data
