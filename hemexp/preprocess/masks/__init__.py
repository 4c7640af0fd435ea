"""Haemorrhage masks: read from files, judged on their CT and brain, brought onto its grid."""
