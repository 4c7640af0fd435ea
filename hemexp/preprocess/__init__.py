"""From raw head CT to scans a network can compare.

Each non-contrast CT is checked together with its IPH and IVH masks, its brain is delineated by
thresholds and morphology united with the haemorrhage, the follow-up is registered rigidly to the
baseline on bone and brain with the bleed left out of the metric, and both scans are resampled
once, with all transforms composed, onto one grid along the reference scan's own planes.
Volumes are measured in native space; quality control compares them with those on the grid.
"""
