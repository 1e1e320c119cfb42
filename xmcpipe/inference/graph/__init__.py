"""A trained model as one ONNX graph: from token ids to the best labels, for runtimes without torch."""
