"""Trajectories through weight space: recorded, read and compared."""
