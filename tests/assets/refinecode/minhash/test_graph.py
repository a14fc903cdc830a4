"""Components of pairs."""

from __future__ import annotations

import numpy as np

from assets.refinecode.minhash import components, spanning_forest


def test_components_do_not_depend_on_the_order_of_edges() -> None:
    edges = np.array([[5, 9], [1, 2], [9, 2], [30, 40], [40, 30], [7, 8]])
    for order in (edges, edges[::-1], edges[:, ::-1]):
        nodes, labels = components(order[:, 0], order[:, 1])
        found = dict(zip(nodes.tolist(), labels.tolist(), strict=True))
        assert found == {1: 1, 2: 1, 5: 1, 9: 1, 7: 7, 8: 7, 30: 30, 40: 30}
    low, high = spanning_forest(edges[:, 0], edges[:, 1])
    assert len(low) == len(high) == 5


def test_a_forest_has_the_components_of_its_graph() -> None:
    random = np.random.RandomState(3)
    left, right = random.randint(0, 3000, 4000), random.randint(0, 3000, 4000)
    low, high = spanning_forest(left, right)
    nodes, labels = components(left, right)
    assert len(low) == len(nodes) - len(np.unique(labels))
    known = dict(zip(nodes.tolist(), labels.tolist(), strict=True))
    again, again_labels = components(low, high)
    assert all(known[node] == label for node, label in zip(again, again_labels, strict=True))


def test_a_chain_and_a_star_of_a_million() -> None:
    count = 1_000_000
    chain = np.arange(count)
    for left, right in ((chain[:-1], chain[1:]), (np.zeros(count - 1, np.int64), chain[1:])):
        assert (components(left, right)[1] == 0).all()


def test_no_edges() -> None:
    none = np.zeros(0, np.int64)
    assert all(len(row) == 0 for row in (*components(none, none), *spanning_forest(none, none)))
