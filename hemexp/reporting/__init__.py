"""Tables, figures and one page for people.

Reads what the other rooms left on disk and writes the cohort and result tables with units and
intervals, the figures (drawn follow-ups beside the true one in radiological convention, forecast
volumes, calibration, training curves, registration checks) and a static page that holds them all
together with the quality-control remarks. Nothing is computed here that is not in a table of an
earlier room, and patients are chosen by a stated rule, never by hand.
"""
