"""The agent room against the simulated agent, in simulated time."""
