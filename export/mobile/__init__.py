"""Export of a classifier for phones: LiteRT (TensorFlow Lite) and Core ML."""
