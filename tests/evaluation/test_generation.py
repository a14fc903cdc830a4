"""Generation: equal to transformers' own greedy search, resumable, seeded per sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.backends import Job
from evaluation.backends.local import TransformersBackend, chat_prompt
from evaluation.generation import Parameters, cut_at_stop
from evaluation.generation import generate as generate_with
from evaluation.models import LoadedModel, load_model

PROMPTS = ["def f(x):", "import os\n\n\ndef main(", "x", "class A:\n    def b(self):\n        pass"]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, device="cpu")


def generate(
    loaded: LoadedModel,
    prompts: list[str],
    parameters: Parameters,
    *,
    cache: Path,
    batch_size: int | None = None,
) -> list[list[str]]:
    backend = TransformersBackend(loaded, batch_size=batch_size)
    return generate_with(backend, prompts, parameters, cache=cache)


def test_greedy_equals_the_librarys_search_one_by_one(loaded: LoadedModel, tmp_path: Path) -> None:
    import torch

    parameters = Parameters(max_new_tokens=24)
    found = generate(loaded, PROMPTS, parameters, cache=tmp_path / "g.jsonl", batch_size=3)
    for prompt, answers in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
        expected = loaded.model.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=0)
        text = loaded.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
        assert answers == [text]


def test_finished_batches_are_never_generated_again(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.backends import local

    parameters = Parameters(max_new_tokens=8)
    cache = tmp_path / "g.jsonl"
    whole = generate(loaded, PROMPTS, parameters, cache=cache, batch_size=2)
    lines = cache.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    # the process died within the second batch: one of its two rows and half a line are there
    cache.write_text("".join(lines[:3]) + lines[3][:10])
    calls: list[int] = []
    real = local._decode_batch

    def counted(model: LoadedModel, rows: list[list[int]], *rest: object) -> list[str]:
        calls.append(len(rows))
        return real(model, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "_decode_batch", counted)
    assert generate(loaded, PROMPTS, parameters, cache=cache, batch_size=2) == whole
    assert calls == [2]
    assert generate(loaded, PROMPTS, parameters, cache=cache, batch_size=2) == whole
    assert calls == [2]
    assert sorted(cache.read_text().splitlines(keepends=True)) == sorted(lines)


def test_samples_differ_but_repeat_with_the_seed(loaded: LoadedModel, tmp_path: Path) -> None:
    def draw(name: str, seed: int, batch_size: int) -> list[list[str]]:
        parameters = Parameters(max_new_tokens=12, temperature=1.0, samples=3, seed=seed)
        cache = tmp_path / f"{name}.jsonl"
        return generate(loaded, PROMPTS[:2], parameters, cache=cache, batch_size=batch_size)

    first = draw("a", 0, 2)
    assert len(set(first[0])) == 3
    assert first == draw("b", 0, 5)
    assert first != draw("c", 1, 2)


def test_stop_strings_end_the_answer(loaded: LoadedModel, tmp_path: Path) -> None:
    free = generate(loaded, PROMPTS[:1], Parameters(max_new_tokens=24), cache=tmp_path / "a.jsonl")
    text = free[0][0]
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    parameters = Parameters(max_new_tokens=24, stop=(stop,))
    cut = generate(loaded, PROMPTS[:1], parameters, cache=tmp_path / "b.jsonl")[0][0]
    assert cut == cut_at_stop(text, (stop,)) == text[: text.find(stop)]


def test_an_answer_never_takes_the_prompts_half_of_the_context(
    loaded: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    context = loaded.context_length
    prompt = "x = 1\n" * 40
    length = len(loaded.tokenizer(prompt)["input_ids"])
    assert context // 4 < length < context // 2
    free = Parameters(max_new_tokens=context)
    found = generate(loaded, [prompt], free, cache=tmp_path / "a.jsonl")[0]
    ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
    whole = loaded.model.generate(ids, max_length=context, do_sample=False, pad_token_id=0)
    assert found == [loaded.tokenizer.decode(whole[0, length:], skip_special_tokens=True)]
    assert not caplog.records
    generate(loaded, [prompt * 4, prompt], free, cache=tmp_path / "b.jsonl")
    assert f"1 of 2 prompts lose their beginning, as more than {context // 2} " in caplog.text


def test_chat_needs_a_template(loaded: LoadedModel) -> None:
    assert chat_prompt(loaded, "hi") == "<|user|>hi<|end|><|assistant|>"
    template, loaded.tokenizer.chat_template = loaded.tokenizer.chat_template, None
    try:
        with pytest.raises(ValueError, match="no chat template"):
            chat_prompt(loaded, "hi")
    finally:
        loaded.tokenizer.chat_template = template


def test_batches_are_whatever_is_cached_already(loaded: LoadedModel) -> None:
    backend = TransformersBackend(loaded)
    jobs = [Job(prompt, sample) for prompt in PROMPTS for sample in range(3)]
    batches = backend.batches(jobs, Parameters(temperature=1.0))
    assert sorted(job for batch in batches for job in batch) == sorted(jobs)
    assert backend.batches(jobs[::-1], Parameters(temperature=1.0)) == batches
    assert len(batches) == 2  # one for each of two cores


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature 0"):
        Parameters(samples=2)
    with pytest.raises(ValueError, match="max_new_tokens"):
        Parameters(max_new_tokens=0)
    with pytest.raises(ValueError, match="temperature must be"):
        Parameters(temperature=float("nan"))
    with pytest.raises(ValueError, match="top_p"):
        Parameters(top_p=0)
