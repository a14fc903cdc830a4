"""Connected components of pairs: a union-find over edges in numpy (paper 2.1.1, fuzzy dedup).

A component is called by its smallest node, so its name does not depend on the order of edges.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

I64 = npt.NDArray[np.int64]


def components(left: I64, right: I64) -> tuple[I64, I64]:
    """(nodes, component) of the graph with edges left[i] - right[i]; a component is called by
    its smallest node, so its name does not depend on the order of the edges."""
    nodes, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    parent, _ = _union_find(where[: len(left)], where[len(left) :], len(nodes))
    return nodes, nodes[parent]


def spanning_forest(left: I64, right: I64) -> tuple[I64, I64]:
    """The edges that connect the same components without a cycle: fewer than there are nodes."""
    nodes, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    _, used = _union_find(where[: len(left)], where[len(left) :], len(nodes))
    return left[used], right[used]


@njit(nogil=True, cache=True)
def _union_find(left: I64, right: I64, count: int) -> tuple[I64, npt.NDArray[np.bool_]]:
    """(smallest node of each node's component, which edges joined two components)."""
    parent = np.arange(count)
    used = np.zeros(len(left), np.bool_)
    for i in range(len(left)):
        x, y = left[i], right[i]
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        if x != y:
            used[i] = True
            if x < y:
                parent[y] = x
            else:
                parent[x] = y
    for x in range(count):
        root = x
        while parent[root] != root:
            root = parent[root]
        parent[x] = root
    return parent, used
