"""Strict configuration: every refusal names the file, the key, what was expected and found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training.config import (
    ConfigError,
    InvalidValue,
    ModelConfig,
    PretrainConfig,
    TokenizerConfig,
    describe,
    identity,
    load_config,
)

GOOD = """
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
        num_key_value_heads: 1}
tokenizer: tok
sources: [{name: code, path: shards, weight: 2}]
context_length: 32
batch_size: 4
micro_batch_size: 2
steps: 10
lr_peak: 3e-4
betas: [0.9, 0.99]
out: run
"""


def test_loads_types_and_nested_values(write_yaml: Callable[[str], Path]) -> None:
    config = load_config(PretrainConfig, write_yaml(GOOD))
    assert config.lr_peak == 3e-4  # YAML reads it as text
    assert config.sources[0].weight == 2.0 and isinstance(config.sources[0].weight, float)
    assert config.model is not None and config.model.hidden_size == 32
    assert config.betas == (0.9, 0.99) and config.out == Path("run")


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ("stepz=3", ["stepz", "known keys", "--set stepz=3"]),
        ("warmup_step=3", ["known keys", "did you mean warmup_steps"]),
        ("lr=1e-3", ["did you mean lr_peak or lr_end?"]),
        ("steps=ten", ["steps", "a whole number", "'ten' (str)"]),
        ("steps=true", ["steps", "a whole number", "True"]),
        ("steps=0", ["steps", "at least 1", "0"]),
        ("seed=9223372036854775808", ["seed", "at most 9223372036854775807"]),
        ("lr_peak=.inf", ["lr_peak", "a number"]),
        ("lr_peak=-1", ["lr_peak", "more than 0"]),
        ("betas=[0.9]", ["betas", "a list of 2 values"]),
        ("betas=[0.9, 1.0]", ["betas", "less than 1"]),
        ("decay=linear", ["decay", "constant, exponential", "'linear'"]),
        ("warmup_steps=11", ["warmup_steps", "at most steps (10)"]),
        ("model.num_key_value_heads=3", ["model.num_key_value_heads", "divisor"]),
        ("model.width=3", ["model.width", "hidden_size"]),
        ("sources=[]", ["sources", "at least one source"]),
        ("sources.0.weight=0", ["sources[0].weight", "more than 0"]),
        ("tokenizer=", ["tokenizer", "a path"]),
        ("heldout_every_steps=5", ["heldout", "documents for heldout_every_steps"]),
        ("spike_sigmas=0", ["spike_sigmas", "more than 0"]),
        ("keep_every_steps=0", ["keep_every_steps", "at least 1"]),
    ],
)
def test_refusals_name_the_place(
    write_yaml: Callable[[str], Path], change: str, fragments: list[str]
) -> None:
    file = write_yaml(GOOD)
    with pytest.raises(ConfigError) as caught:
        load_config(PretrainConfig, file, [change])
    for fragment in [str(file), *fragments]:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (GOOD + "steps: 11\n", "given twice"),
        ("[1, 2]", "a mapping of keys"),
        ("a: [", "valid YAML"),
        (GOOD.replace("out: run\n", ""), "out: expected"),
        (GOOD.replace("tokenizer: tok\n", ""), "tokenizer"),
    ],
)
def test_bad_files_are_refused(write_yaml: Callable[[str], Path], text: str, fragment: str) -> None:
    with pytest.raises(ConfigError, match=fragment):
        load_config(PretrainConfig, write_yaml(text))


def test_missing_file_and_malformed_override(
    tmp_path: Path, write_yaml: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match="not found"):
        load_config(PretrainConfig, tmp_path / "absent.yaml")
    for override in ("steps", "=3", "a..b=3", "steps.x=3", "sources.7.name=x"):
        with pytest.raises(ConfigError, match="--set"):
            load_config(PretrainConfig, write_yaml(GOOD), [override])


def test_bounds_hold_in_python_too() -> None:
    with pytest.raises(InvalidValue, match="multiple of 128"):
        TokenizerConfig(documents=Path("d"), out=Path("o"), vocab_size=1000)
    with pytest.raises(InvalidValue, match="head_dim"):
        ModelConfig(hidden_size=30, num_attention_heads=4, num_key_value_heads=4)


def test_identity_ignores_where_a_run_executes(write_yaml: Callable[[str], Path]) -> None:
    file = write_yaml(GOOD)

    def key(*overrides: str) -> object:
        return identity(load_config(PretrainConfig, file, overrides), {"tokenizer": "t"})

    base = key()
    for same in (
        "out=elsewhere",
        "micro_batch_size=1",
        "checkpoint_every_steps=3",
        "keep_last_checkpoints=5",
        "tokenizer=t2",
    ):
        assert key(same) == base
    for other in (
        "spike_sigmas=null",
        "keep_every_steps=3",
        "seed=1",
        "steps=11",
        "lr_peak=1e-3",
        "sources.0.weight=3",
        "batch_size=8",
    ):
        assert key(other) != base


def test_help_names_every_key_with_its_default() -> None:
    text = describe(PretrainConfig)
    for name in ("context_length", "lr_peak", "hidden_size", "heldout_max_bytes", "weight"):
        assert name in text
    assert "default 0.0003" in text and "required" in text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"? [a]\n: 1\n", None])
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "config.yaml"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml: expected"):
        load_config(PretrainConfig, file)


def test_an_override_that_is_no_yaml_is_named(write_yaml: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"--set steps=\[1: expected a YAML value"):
        load_config(PretrainConfig, write_yaml(GOOD), ["steps=[1"])
