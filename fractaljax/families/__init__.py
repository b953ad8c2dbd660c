"""Families of questions on one engine: windows and facets in, numpy out."""
