"""Simulated days of a device that is used and disturbed: `scripts/soak`."""
