"""Classifiers trained on coded images, and validated on images coded in other ways."""
