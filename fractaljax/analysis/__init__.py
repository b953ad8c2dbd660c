"""The dimension of a boundary, from outcomes alone: numpy arrays in, NamedTuples out."""
