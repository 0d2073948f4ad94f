"""Ears and mouth: ALSA in, ALSA out, and what is kept between."""
