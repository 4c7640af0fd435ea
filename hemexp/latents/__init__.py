"""Latents: the posterior means of every scan, encoded once.

The autoencoder is frozen. Each scan, its left-right mirror image and, of training patients, moved
copies are encoded slice by slice; the posterior mean is kept (a drawn latent would put noise into
the difference of two equal slices; an ablation draws it all the same). Of a training pair so is
its reference: the baseline with its tissue pushed, its bleed grown and its ventricles filled as in
truth. How strongly growth pushes is fitted on training pairs before. Beside the latents stands
where the bleed lies and where its centroid drifts to. The mean and SD of latents, and of the
differences between follow-ups and references, are measured over training patients only.
"""
