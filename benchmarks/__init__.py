"""Speed, memory and robustness of the codec, as ratios taken in one run on one machine."""
