"""The learned codec for any family of models: weights files, `.sat` files and tilings."""
