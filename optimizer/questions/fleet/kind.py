"""Which chips for several services, each with traffic of several sizes?"""

KEYS = ("services",)
PROBLEM = "problem:FleetProblem"
QUESTION = "question:FleetQuestion"
