"""Indicators: images and models in, tables of cells with error bars out."""
