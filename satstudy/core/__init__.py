"""What every wing shares: errors, types, geometry, paths, digests, settings and files. It imports no other wing."""
