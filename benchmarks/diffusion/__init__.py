"""The diffusion baseline: the same backbone sampled step by step, its training, and what a latent-diffusion network costs."""
