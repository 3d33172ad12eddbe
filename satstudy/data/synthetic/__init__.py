"""Synthetic overhead scenes with labels, drawn from a seed: the data set that ships with the study.

They stand in for fMoW, which cannot be shipped, so that every stage runs end to end. Numbers measured on them are about
the method, not about satellite images.
"""
