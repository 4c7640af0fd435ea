"""Conditional diffusion of the latent difference between a follow-up and its reference.

The reference is the baseline, made more like the follow-up by what is told of it, or, as
published, the baseline itself. A v-prediction denoiser is trained on the difference of posterior
means, normalised to unit SD per channel. It sees the baseline's latents of the slice and its
neighbours (2.5D context in mm), how the reference differs from the baseline, the clinical
variables with a learned "unknown" each, and a *request*: a target growth in mL with the drift of
the bleed's centroid and the IVH growth, or the published expansion indicator, each with a learned
null. The whole stack of slices is one object: 2D convolutions with zero-initialised
convolutions and pooled attention along z. The log-SNR range is chosen from the training latents so
that the first noise level drowns a real difference.
"""
