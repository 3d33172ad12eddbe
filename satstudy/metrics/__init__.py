"""What is measured, from pixels and result frames alone: rate, quality, seams, accuracy, and how sure each is."""
