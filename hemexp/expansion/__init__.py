"""Expansion: how much may this bleed grow, before any image is drawn.

Each model gives p(expansion) and a predictive distribution of growth: that probability times a
log-normal growth of expanders given baseline volume, plus the growth seen in non-expanders.
`four_variable` has the form of Al-Shahi Salman et al. (Lancet Neurol 2018), refitted;
`image_clinical` adds what the baseline image shows; `_published` after either name says that
effects are shrunk to published ones; `brain` is the BRAIN score as published. Sampling draws from
the best on training patients, cross-fitted, or from the first where these are too few to tell. A
probability in the sheet wins. How much blood breaks into the ventricles is forecast given that
growth (`ivh`).
"""
