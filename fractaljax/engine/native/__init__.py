"""A compiled loop for the hottest case, behind the same contract as the engine's own path.

It trains networks of one hidden layer by plain gradient descent on all data, several in the lanes
of a vector; `lanes.fits` says which trainings those are, `build` compiles it where there is a
compiler. Everything it reads goes through the same folds; the JAX path is its reference.
"""
