"""Repeatable measurements. Speed is a ratio within one run: machines differ and are noisy."""
