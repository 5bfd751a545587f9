"""How should a training run be split over clusters of unlike chips?"""
