"""A study: its profile, images, weights and measurements, made on demand; used by the notebooks."""
