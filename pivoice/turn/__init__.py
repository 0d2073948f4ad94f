"""PURE: who has the floor."""
