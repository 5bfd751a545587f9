"""Questions to answers: solve, deploy, sweep and each other study, one file or a few for each."""
