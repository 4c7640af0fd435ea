"""Trained models for others: folders that a run takes over, and MONAI bundles."""
