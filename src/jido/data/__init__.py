"""Data: a simulated city, public data sets."""

from jido.data.synthetic import City, simulate_city

__all__ = ["City", "simulate_city"]
