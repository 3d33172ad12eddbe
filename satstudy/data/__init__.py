"""Data sets: reading images, scanning folders and fMoW trees, drawing splits, fetching fMoW, packing."""
