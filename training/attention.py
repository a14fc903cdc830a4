"""Attention over packed documents: which kernel runs, and why the others did not.

Every backend computes the same thing: causal attention inside each document, nothing across. The
flash kernels get the document boundaries as `cu_seqlens`; sdpa and eager get a dense mask that
transformers builds from restarting position ids. No attention_mask is ever passed: an all-ones one
would switch both off without a word. `auto` tries candidates by running them on 64 tokens.
Paper: none; the paper trains with FlashAttention inside Megatron-LM.

Shapes: B rows, T tokens of a row, H query heads, D head width, N documents.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from training.config import AttentionChoice, ConfigError

log = logging.getLogger(__name__)

# The order in which `auto` tries them: the newest kernel first, dense masks last.
BACKENDS: tuple[AttentionChoice, ...] = (
    "flash_attention_3",
    "flash_attention_4",
    "flash_attention_2",
    "varlen",
    "sdpa",
    "eager",
)
_MASKED = ("sdpa", "eager")
# FlashAttention 2 and 4 share the import package flash_attn: the distribution tells them apart.
_DISTRIBUTIONS = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn-3",
    "flash_attention_4": "flash-attn-4",
}
INSTALL = {
    "flash_attention_2": "pip install --no-build-isolation flash-attn==2.8.3.post2",
    "flash_attention_3": (
        "git clone https://github.com/Dao-AILab/flash-attention && "
        "cd flash-attention/hopper && python setup.py install"
    ),
    "flash_attention_4": "pip install 'flash-attn-4[cu13]>=4.0.0b36'",
    "varlen": "pip install 'torch>=2.10'",
}
# First number of the CUDA compute capability from which on a kernel exists.
_OLDEST_GPU = {"flash_attention_2": 8, "flash_attention_3": 8, "flash_attention_4": 9, "varlen": 8}
_HALF = (torch.bfloat16, torch.float16)
_PROBE_DOCUMENTS = (40, 1, 23)
# Largest error against fp32 arithmetic, as a share of the largest reference value.
_TOLERANCE = {torch.float32: 2e-3, torch.float16: 1e-2, torch.bfloat16: 4e-2}

# q (B*T, H, D), k and v (B*T, KV heads, D), cu_seqlens (N+1,) int32, max_seqlen, scale -> like q
VarlenFunction = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, float], torch.Tensor
]


@dataclass(frozen=True)
class HeadShape:
    """The part of an architecture that decides which kernels fit."""

    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class Attention:
    """The chosen backend, its name inside transformers, and what was refused before it."""

    name: AttentionChoice
    implementation: str
    refusals: dict[str, str]

    @property
    def makes_masks(self) -> bool:
        """Whether it tells documents apart by a dense mask, not by cu_seqlens."""
        return self.name in _MASKED


def choose_attention(
    choice: str, shape: HeadShape, *, device: torch.device, dtype: torch.dtype
) -> Attention:
    """Resolve `attention` of a config; `dtype` is that of the activations.

    `auto` takes the first backend that passes its probe and logs why others did not. Raises
    ConfigError when an explicit choice cannot run, with the reason and the install command.
    """
    refusals: dict[str, str] = {}
    for name in BACKENDS if choice == "auto" else [n for n in BACKENDS if n == choice]:
        reason = refusal(name, shape, device=device, dtype=dtype)
        if reason is None:
            log.info("attention: %s (%s, %s)", name, device.type, _name(dtype))
            return Attention(name, implementation_of(name), refusals)
        refusals[name] = reason
        log.info("attention: %s refused: %s", name, reason)
    raise ConfigError(
        f"attention: expected a backend that runs here, found {choice}: "
        f"{refusals.get(choice, refusals)}; choose `attention: auto`, or another of {BACKENDS}"
    )


def refusal(
    name: AttentionChoice, shape: HeadShape, *, device: torch.device, dtype: torch.dtype
) -> str | None:
    """Why a backend cannot run here, or None after it ran 64 tokens forward and backward."""
    reason = _missing(name, shape, device, dtype)
    if reason is not None:
        return reason
    try:
        error = _probe_error(name, shape, device, dtype)
    except Exception as problem:  # noqa: BLE001 (a kernel may fail in any way; it is named)
        return f"its probe failed: {type(problem).__name__}: {_first_line(problem)}"
    if not error <= _TOLERANCE[dtype]:
        return f"its probe differs from the reference by {error:.2g} of the largest value"
    return None


def implementation_of(name: AttentionChoice) -> str:
    """Register a backend with transformers and return its `attn_implementation`.

    The flash kernels are registered under names of our own, so that transformers neither builds
    a mask for them nor looks for a kernel to download.
    """
    if name in _MASKED:
        return name
    return register(name, _VARLEN[name]())


def register(name: AttentionChoice, function: VarlenFunction) -> str:
    """Make `function` the kernel behind a backend and return its `attn_implementation`."""
    from transformers import AttentionInterface

    implementation = "packed_" + name.replace("flash_attention_", "fa")
    AttentionInterface.register(implementation, _for_transformers(function))
    return implementation


def reference_attention(
    query_MHD: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seqlens: torch.Tensor
) -> torch.Tensor:
    """Causal attention of each document by itself, in the plainest arithmetic (M = B*T tokens)."""
    groups = query_MHD.shape[1] // key.shape[1]
    parts: list[torch.Tensor] = []
    bounds = cu_seqlens.tolist()
    for begin, end in itertools.pairwise(bounds):
        q = query_MHD[begin:end].transpose(0, 1)
        k, v = (x[begin:end].repeat_interleave(groups, dim=1).transpose(0, 1) for x in (key, value))
        scores = q @ k.transpose(1, 2) * query_MHD.shape[2] ** -0.5
        hidden = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        parts.append((weights @ v).transpose(0, 1))
    return torch.cat(parts)


# ------------------------------------------------------------------------------------ adapters


def _for_transformers(function: VarlenFunction) -> Callable[..., tuple[torch.Tensor, None]]:
    """The calling convention of transformers around a kernel for packed documents."""

    def attend(
        module: Any,
        query_BHTD: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        cu_seqlens: torch.Tensor | None = None,
        max_seqlen: int | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        rows, heads, length, width = query_BHTD.shape
        if attention_mask is not None:
            raise ValueError("attention: expected no attention_mask (it hides the documents)")
        if key.shape[2] != length:
            raise ValueError("attention: expected no key/value cache; generate with sdpa")
        if cu_seqlens is None or max_seqlen is None:  # not packed: every row is one document
            cu_seqlens = torch.arange(
                0, rows * length + 1, length, dtype=torch.int32, device=query_BHTD.device
            )
            max_seqlen = length
        # Rotary positions may have left q and k in fp32 while v follows the autocast.
        q, k, v = (
            x.transpose(1, 2).reshape(rows * length, -1, width).to(value.dtype)
            for x in (query_BHTD, key, value)
        )
        scale = width**-0.5 if scaling is None else scaling
        out = function(q, k, v, cu_seqlens, max_seqlen, scale)
        return out.view(rows, length, heads, width), None

    return attend


def _flash(kernel: Callable[..., Any]) -> VarlenFunction:
    """FlashAttention 2, 3 and 4 agree on these argument names; some return (out, lse)."""

    def call(
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        scale: float,
    ) -> torch.Tensor:
        out = kernel(
            q,
            k,
            v,
            cu_seqlens_q=cu_seqlens,
            cu_seqlens_k=cu_seqlens,
            max_seqlen_q=max_seqlen,
            max_seqlen_k=max_seqlen,
            softmax_scale=scale,
            causal=True,
        )
        result: torch.Tensor = out[0] if isinstance(out, tuple) else out
        return result

    return call


def _flash_attention_2() -> VarlenFunction:
    from flash_attn import flash_attn_varlen_func

    return _flash(flash_attn_varlen_func)


def _flash_attention_3() -> VarlenFunction:
    from flash_attn_interface import flash_attn_varlen_func

    # Not every build of it can be traced; a compiled block is split around the kernel instead.
    return _flash(torch.compiler.disable(flash_attn_varlen_func))


def _flash_attention_4() -> VarlenFunction:
    from flash_attn.cute import flash_attn_varlen_func

    return _flash(torch.compiler.disable(flash_attn_varlen_func))


def _torch_varlen() -> VarlenFunction:
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    causal: dict[str, Any] = {"window_size": (-1, 0)}
    if "is_causal" in known:  # torch 2.10
        causal = {"is_causal": True}
    has_scale, has_groups = "scale" in known, "enable_gqa" in known

    def call(
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        scale: float,
    ) -> torch.Tensor:
        options = dict(causal)
        if has_scale:
            options["scale"] = scale
        groups = q.shape[1] // k.shape[1]
        if groups > 1 and has_groups:
            options["enable_gqa"] = True
        elif groups > 1:
            k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
        out: torch.Tensor = varlen_attn(
            q, k, v, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, **options
        )
        return out

    return call


_VARLEN: dict[AttentionChoice, Callable[[], VarlenFunction]] = {
    "flash_attention_2": _flash_attention_2,
    "flash_attention_3": _flash_attention_3,
    "flash_attention_4": _flash_attention_4,
    "varlen": _torch_varlen,
}


# -------------------------------------------------------------------------------------- probes


def _missing(
    name: AttentionChoice, shape: HeadShape, device: torch.device, dtype: torch.dtype
) -> str | None:
    """What a backend needs and is not there, found without running it."""
    if name in _MASKED:
        return None
    install = f"install it with: {INSTALL[name]}"
    if name != "varlen" and not _installed(_DISTRIBUTIONS[name]):
        return f"the distribution {_DISTRIBUTIONS[name]} is not installed; {install}"
    if device.type != "cuda":
        return f"it needs a CUDA device, found {device.type}"
    if name == "varlen" and not _importable("torch.nn.attention.varlen"):
        return f"torch {torch.__version__} has no torch.nn.attention.varlen; {install}"
    if dtype not in _HALF:
        return f"it needs bf16 or fp16 activations, found {_name(dtype)}"
    major = torch.cuda.get_device_capability(device)[0]
    if major < _OLDEST_GPU[name]:
        return f"it needs compute capability {_OLDEST_GPU[name]}.0, found {major}.x"
    # The Blackwell kernels of FlashAttention 4 come in these widths only.
    width = shape.head_dim
    if name == "flash_attention_4" and major >= 10 and width > 128 and width != 256:
        return (
            f"on compute capability {major}.x it needs head_dim at most 128 or 256, found {width}"
        )
    return None


def _probe_error(
    name: AttentionChoice, shape: HeadShape, device: torch.device, dtype: torch.dtype
) -> float:
    """Largest relative error of output and gradients on 64 packed tokens, against fp32."""
    from transformers.models.llama.modeling_llama import (
        ALL_ATTENTION_FUNCTIONS,
        eager_attention_forward,
    )

    function = ALL_ATTENTION_FUNCTIONS.get_interface(
        implementation_of(name), eager_attention_forward
    )
    groups = shape.heads // shape.kv_heads
    module = SimpleNamespace(num_key_value_groups=groups, is_causal=True, training=True)
    length = sum(_PROBE_DOCUMENTS)
    bounds = torch.tensor([0, *_PROBE_DOCUMENTS]).cumsum(0)
    # The last document is empty: the collator pads cu_seqlens with such, and a kernel must bear it.
    cu_seqlens = torch.cat([bounds, bounds[-1:]]).to(device, torch.int32)
    mask = None
    if name in _MASKED:
        owner = torch.searchsorted(bounds, torch.arange(length), right=True).to(device)
        allowed = (owner[:, None] == owner[None, :]).tril()[None, None]
        blocked = torch.finfo(dtype).min
        mask = allowed if name == "sdpa" else (~allowed).to(dtype) * blocked
    generator = torch.Generator().manual_seed(0)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads)
    inputs = [
        torch.randn(1, count, length, shape.head_dim, generator=generator).to(device, dtype)
        for count in heads
    ]
    ours = [x.requires_grad_() for x in inputs]
    exact = [x.detach().float().requires_grad_() for x in inputs]
    out = function(
        module,
        *ours,
        mask,
        dropout=0.0,
        scaling=shape.head_dim**-0.5,
        cu_seqlens=cu_seqlens,
        max_seqlen=max(_PROBE_DOCUMENTS),
    )[0]
    q, k, v = (x[0].transpose(0, 1) for x in exact)
    expected = reference_attention(q, k, v, bounds)
    upstream = torch.randn(expected.shape, generator=generator).to(device)
    got_grads = torch.autograd.grad(out, ours, upstream.to(dtype)[None])
    want_grads = torch.autograd.grad(expected, exact, upstream)
    errors = [_relative_error(out[0], expected)]
    errors += map(_relative_error, got_grads, want_grads)
    return max(errors)


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """NaN-safe: a value that is not finite gives an infinite error."""
    difference = (found.detach().float() - expected.detach()).abs().max()
    return float((difference / expected.detach().abs().max()).nan_to_num(nan=torch.inf))


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [""])[0][:200]
