"""Latents: the posterior means of every scan, encoded once.

The autoencoder is frozen. Each scan, its left-right mirror image and, of training patients, moved
copies are encoded slice by slice; the posterior mean is kept (a drawn latent would put noise into
the difference of two equal slices; an ablation draws it all the same). Beside them stands where
the bleed lies and where its centroid drifts to. The mean and SD of latents and of latent
differences are measured over training patients only.
"""
