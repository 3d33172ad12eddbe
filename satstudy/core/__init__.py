"""Shared by all wings: errors, types, geometry, the loss of λ, paths, digests, settings and files."""
