"""Classifiers that are trained on coded images and validated on images of other codecs."""
