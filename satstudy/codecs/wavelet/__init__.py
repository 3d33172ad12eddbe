"""The study's own codec: wavelet sub-bands, coded from coarse to fine by small convolutional networks."""
