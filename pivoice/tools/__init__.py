"""What the agent may ask the device to do."""
