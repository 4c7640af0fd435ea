"""Conditional diffusion of the latent difference between follow-up and baseline.

A v-prediction denoiser is trained on the difference of posterior means, normalised to unit SD per
channel. It sees the baseline's latents of the slice and its neighbours (2.5D context in mm), the
seven clinical variables with a learned "unknown" each, and a *request*: a target growth in mL
with the drift of the bleed's centroid, or the published expansion indicator, each with a learned
null. The whole stack of slices is one object: 2D convolutions with zero-initialised
convolutions and pooled attention along z. The log-SNR range is chosen from the training latents so
that the first noise level drowns a real difference.
"""
