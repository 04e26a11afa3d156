"""Measurements of nasarch: scripts to be run from a checkout, with nasarch as it is installed."""
