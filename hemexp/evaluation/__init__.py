"""Forecasts against what happened.

The drawn follow-ups of every test patient are compared with the true follow-up scan: volumes by
the fair continuous ranked probability score, calibration (randomised PIT, central intervals) and
spread; expansion by AUC and Brier score; images and masks by Dice, PSNR, SSIM and the Brier score
of the expansion map. The same scores are given to four references: a copy of the baseline, the
growth seen in training patients (climatology), the tabular predictive distribution and, for the
phantom, the true distribution. The patient is the unit of every mean and every bootstrap
interval. Samples that knew the true outcome (`oracle`) are tested for obedience only.

`patient` scores one patient, `cohort` tabulates all; `metrics` lists what is scored and
`cohort.tables` what is tabulated.
"""
