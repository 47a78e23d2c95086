"""What computes a network: JAX, or the graph that it is written down as, run by OpenVINO or ONNX Runtime.

`choose` decides, `network` says what translation asks of either; `writer` and the rules make the graph.
"""
