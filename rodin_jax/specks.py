"""Crumbs and haze in the air around a generated body.

What a model draws is solid where it learned bodies, and faintly so beside them: a texel that makes
the rim of a pair of glasses makes a little of it wherever its line of sight goes. Such matter is
thin or lies apart, so it can be told from a body by how dense and how near to it it is.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

# Of optical depth through a cell: two fifths of the light are stopped.
_SOLID = 0.5
# Pieces have at least this share of the largest one's cells.
_PIECE = 0.02
# Cells around them in which what is faint belongs to their surface.
_REACH = 5
_ALL_ROUND = np.ones((3, 3, 3), bool)


def near_the_largest(densities: Float[np.ndarray, "r r r"]) -> Bool[np.ndarray, "r r r"]:
    """Cells of the largest solid pieces of the cube [-1, 1]^3 and around them.

    Where nothing is solid, all of them.
    """
    solid = densities * (2.0 / len(densities)) > _SOLID
    if not solid.any():
        return np.ones_like(solid)
    piece, _ = ndimage.label(solid, _ALL_ROUND)
    cells = np.bincount(piece.ravel())
    cells[0] = 0
    large = cells > _PIECE * cells.max()
    return ndimage.binary_dilation(large[piece], _ALL_ROUND, iterations=_REACH)
