"""The shape of a surface: topology, scales and wells."""
