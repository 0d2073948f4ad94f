"""The far end: one session over one WebSocket."""
