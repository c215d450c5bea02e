"""Shapes and dtypes of the arrays that evaluation and figures take."""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

Array = np.ndarray
Real = float | np.floating
Images = UInt8[Array, "N 28 28"]
SomeImages = UInt8[Array, "_ 28 28"]  # of a number that is not that of other arguments
Labels = Integer[Array, " N"]
Probabilities = Float[Array, "N classes"]
Logits = Float[Array, "N classes"]
Scores = Float[Array, " _"]  # of a number that is not that of other arguments
Counts = Int[Array, " bins"]
Binned = Float[Array, " bins"]
Vector = Float[Array, " N"]
Mask = Bool[Array, " N"]
