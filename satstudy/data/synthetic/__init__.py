"""Synthetic overhead scenes with labels, drawn from a seed: the data set that ships with the study.

They replace fMoW, which may not be redistributed, so that every stage can run. Results on them show that the method
runs; they do not hold for satellite images.
"""
