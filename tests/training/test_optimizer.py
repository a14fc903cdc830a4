"""Optimizers: who is decayed, what Muon does to a matrix, AdamW's arithmetic."""

import pytest
import torch

from training.optimizer import Muon, new_optimizer, orthogonalized


class _Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(9, 6)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(6, 4), torch.nn.Linear(4, 6)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.embedding(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.square().sum()


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonalized_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 37
    values = torch.linalg.svdvals(orthogonalized(matrix))
    assert values.min() > 0.3 and values.max() < 1.3
    assert orthogonalized(matrix).shape == matrix.shape
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_muon_takes_hidden_matrices_only() -> None:
    network = _Network()
    optimizer = new_optimizer(network, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, name="muon")
    network(torch.arange(9)).backward()
    optimizer.step()
    kinds = {name: set(optimizer.state[p]) for name, p in network.named_parameters()}
    assert kinds["layers.0.weight"] == kinds["layers.1.weight"] == {"momentum"}
    assert kinds["embedding.weight"] == kinds["layers.0.bias"] == {"step", "exp_avg", "exp_avg_sq"}
    decays = {group["weight_decay"] for group in optimizer.param_groups if group["muon"]}
    assert decays == {0.1}


def test_the_other_parameters_follow_adamw() -> None:
    ours, theirs = (torch.nn.Parameter(torch.arange(6.0)) for _ in range(2))
    groups = [{"params": [ours], "weight_decay": 0.1, "muon": False}]
    mine = Muon(groups, lr=0.05, betas=(0.9, 0.95))
    peer = torch.optim.AdamW([theirs], lr=0.05, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(5):
        for parameter, optimizer in ((ours, mine), (theirs, peer)):
            parameter.grad = (parameter.detach() - step).sin()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_muon_lowers_a_loss() -> None:
    network = _Network()
    optimizer = new_optimizer(network, lr=0.05, betas=(0.9, 0.95), weight_decay=0.0, name="muon")
    losses = []
    for _ in range(30):
        loss = network(torch.arange(9))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.1 * losses[0]
