"""Sampling: K coherent follow-ups of one patient, from the baseline alone.

For every sample a target growth is drawn from the predictive distribution (or an expansion flag
from its probability), then the drift, the push and the IVH growth that are told with it. From them
and the baseline a reference is made; noise of the whole stack is carried to a latent difference by
DPM-Solver++(2M) with steps uniform in log-SNR, and reference and reference plus difference are
decoded. The finish brings IPH and IVH to the volumes told, takes out islands, paints what CT and
mask disagree on and renews the noise; raw volumes are those before it. A sample that disagrees
with what it was told is drawn once more. Sample k depends on (run seed, patient_id, k) alone.
"""
