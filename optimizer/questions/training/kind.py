"""How should a training run be split, or how few chips do?"""

KEYS = ("train_model",)
PROBLEM = "problem:TrainingProblem"
QUESTION = "question:TrainingQuestion"
