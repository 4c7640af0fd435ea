"""Hemorrhage-aware variational autoencoder.

Each slice enters as three channels: CT (0-100 HU scaled to 0-1), IPH mask and IVH mask. A 2D
KL-regularised autoencoder (MONAI) compresses it; three 1 x 1 heads on the decoder's last features
give back the CT and the logits of the two masks. Losses: squared error on the CT, Dice plus
binary cross-entropy on each mask, KL divergence, and after a warm-up a least-squares patch-GAN
term and, where local weights are given, a perceptual term.
"""
