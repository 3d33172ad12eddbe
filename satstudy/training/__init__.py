"""Training of the learned codecs: settings, crops, steps, the loop, validation, and change of the model size."""
