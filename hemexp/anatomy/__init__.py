"""What can be measured in a head: midline, ventricles, surfaces of bleeds."""
