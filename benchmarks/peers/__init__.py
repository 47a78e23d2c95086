"""What users would pick instead, doing the same work: PyTorch, naive JAX layers, SSIM libraries, tf.data. Installed as
`cfd2gray.benchmarks.peers`; every library here is optional (extra ``bench``)."""
