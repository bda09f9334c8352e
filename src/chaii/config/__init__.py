"""Configuration: every setting as a typed dataclass, and the rules across settings."""
