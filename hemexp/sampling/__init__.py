"""Sampling: K coherent follow-ups of one patient, from the baseline alone.

For every sample a target growth is drawn from the predictive distribution (or an expansion flag
from its probability), noise of the whole stack is carried to a latent difference by
DPM-Solver++(2M) with steps uniform in log-SNR, and baseline plus difference are decoded. One
scalar added to the IPH logits brings the volume to the drawn one; raw and matched volumes and the
scalar are all kept. Sample k depends on (run seed, patient_id, k) alone.
"""
