"""Data: a simulated city, a simulated orthophoto, tiles of images with masks."""

from jido.data.fields import Fields, simulate_fields, write_fields
from jido.data.synthetic import City, simulate_city

__all__ = ["City", "Fields", "simulate_city", "simulate_fields", "write_fields"]
