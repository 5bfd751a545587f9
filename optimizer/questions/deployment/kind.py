"""Which chips, set up how? Replicas of one model for one kind of traffic."""

KEYS = ("performance_table", "deployment.mode", "workload.requests_per_s", "hardware.chip")
PROBLEM = "problem:DeploymentProblem"
QUESTION = "question:DeploymentQuestion"
