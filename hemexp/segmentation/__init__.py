"""Masks where a centre has none: a network learned from the scans that have them."""
