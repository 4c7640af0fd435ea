"""The page of one patient: pictures that a reader turns in the hand, and what they mean.

Arrays become a payload (`pack`), read from the results by `layers`; `viewer` puts it beside the
page's own HTML, style and script. Nothing on the page asks for a second file or the network.
"""
