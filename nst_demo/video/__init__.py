"""Clips in, painted clips out, with their times and their sound: `painting.stylize_video`.

PyAV (FFmpeg's libraries) reads and writes.
"""
