"""Which chips, set up how? Replicas of one model for one kind of traffic."""
