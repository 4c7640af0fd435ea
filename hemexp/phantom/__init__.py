"""A synthetic cohort whose true follow-up distribution is known.

Each patient is drawn from one documented probability model (`model`): clinical variables, a
baseline volume, two markers that only the image shows (hypodense pockets in the bleed, an
irregular margin), the probability of expansion and the distribution of growth. The patient's head
(`head`), bleed (`bleed`) and mass effect (`mass_effect`) are analytic functions of physical
coordinates, evaluated at the voxel centres of a scanner (`centers`, `tissue`, `scan`): no image is
ever resampled, so head motion, volumes and midline shift are known exactly. `draw` writes the raw
NIfTI scans and the truth beside them, `draw_cohort` the sample sheet of the embedded demo.

The truth is for evaluation alone. What the model learns from are the scans and the sheet.
"""
