"""pivoice: a voice-assistant daemon for the Raspberry Pi."""

__version__ = "0.1.0"
