"""The packages of the `gpu` extra, with their GPU arithmetic emulated on a CPU.

liger-kernel's Triton kernels run in Triton's interpreter, torchao's fp8 matrices in its emulation:
what is shown is that our calls mean what we think, not that they are fast.
"""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.config import ModelConfig
from training.data import Rows
from training.loss import plain_loss
from training.model import TokenLoss, new_model
from training.packing import collate
from training.precision import apply_precision

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MODEL = ModelConfig(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)

LIGER = """
import torch
from training.loss import _liger_loss, plain_loss

torch.manual_seed(0)
hidden, weight = torch.randn(130, 64), torch.randn(1000, 64) / 8
labels = torch.randint(0, 1000, (130,))

def run(loss, half):
    inputs = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        value = loss(*inputs, labels)
    (value / 130).backward()
    return [value.detach(), *(x.grad for x in inputs)]

expected = run(plain_loss, False)
for half, tolerance in ((False, 1e-6), (True, 1e-2)):
    for found, exact in zip(run(_liger_loss, half), expected, strict=True):
        assert found.dtype == torch.float32
        error = float((found - exact).norm() / exact.norm())
        assert error < tolerance, (half, error)
"""


def _needs(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install -e '.[gpu]' brings them")


def test_liger_loss_and_gradients_are_those_of_the_plain_loss() -> None:
    _needs("liger_kernel", "triton")
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.environ['TRITON_INTERPRET'] = '1'\n{LIGER}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_fp8_blocks_keep_names_and_come_close(monkeypatch: pytest.MonkeyPatch) -> None:
    _needs("torchao")
    from torchao.float8 import Float8LinearConfig
    from torchao.float8.float8_linear import Float8Linear

    recipe = Float8LinearConfig.from_recipe_name
    monkeypatch.setattr(
        Float8LinearConfig,
        "from_recipe_name",
        lambda name: dataclasses.replace(recipe(name), emulate=True),
    )

    def run(precision: Any) -> tuple[float, dict[str, torch.Tensor], int]:
        torch.manual_seed(0)
        model = new_model(MODEL, vocab_size=256, context_length=64, end_of_text=0, pad=1)
        apply_precision(model, precision)
        tokens = np.random.default_rng(0).integers(4, 256, (2, 64))
        rows = Rows(tokens, np.roll(tokens, -1, 1), np.tile(np.arange(64), (2, 1)))
        with torch.autocast("cpu", torch.bfloat16):
            loss = TokenLoss(model, plain_loss)(**collate(rows).arguments(torch.device("cpu")))
        loss.backward()
        converted = sum(isinstance(module, Float8Linear) for module in model.modules())
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        return float(loss.detach()), gradients, converted

    half, half_gradients, none = run("bf16")
    eighth, eighth_gradients, converted = run("fp8")
    assert (none, converted) == (0, 7 * MODEL.num_hidden_layers)
    assert list(half_gradients) == list(eighth_gradients)
    assert eighth == pytest.approx(half, rel=1e-3) and eighth != half
    for name, expected in half_gradients.items():
        error = (eighth_gradients[name] - expected).norm() / expected.norm()
        assert error < 0.2, (name, float(error))
