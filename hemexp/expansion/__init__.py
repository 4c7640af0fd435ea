"""Expansion: how much may this bleed grow, before any image is drawn.

p(expansion) comes from a logistic regression on onset-to-CT time, baseline IPH volume,
antiplatelet and anticoagulant use (the form of the four-variable model of Al-Shahi Salman et al.,
Lancet Neurol 2018, refitted). The predictive distribution of growth is that probability times a
log-normal growth of expanders given baseline volume, plus the growth seen in non-expanders. For
training patients the probability is cross-fitted. A probability in the sheet wins.
"""
