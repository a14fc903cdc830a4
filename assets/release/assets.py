"""Dagster asset of the release: the report and the cards of one recipe."""

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, recipe_asset


@recipe_asset(group_name="release", kinds={"markdown"})
def report(
    context: dg.AssetExecutionContext,
    factory: Factory,
    raw_code: Artifact,
    web_text: Artifact,
    sampled_corpus: Artifact,
    composition: Artifact,
    drop_reasons: Artifact,
    funnel: Artifact,
    verified_snippets: Artifact,
    sft_stage1_set: Artifact,
    sft_stage2_set: Artifact,
    token_shards: Artifact,
    pretrained_model: Artifact,
    annealed_model: Artifact,
    sft_stage1_model: Artifact,
    sft_stage2_model: Artifact,
    base_scores: Artifact,
    chat_scores: Artifact,
    teacher_scores: Artifact,
) -> dg.MaterializeResult:
    """The whole recipe on one page, with its dataset card and model card."""
    from assets.release import report as stage

    recipe = factory.recipe(context)
    artifacts = {
        "raw_code": raw_code,
        "web_text": web_text,
        "sampled_corpus": sampled_corpus,
        "composition": composition,
        "drop_reasons": drop_reasons,
        "funnel": funnel,
        "verified_snippets": verified_snippets,
        "sft_stage1_set": sft_stage1_set,
        "sft_stage2_set": sft_stage2_set,
        "token_shards": token_shards,
        "pretrained_model": pretrained_model,
        "annealed_model": annealed_model,
        "sft_stage1_model": sft_stage1_model,
        "sft_stage2_model": sft_stage2_model,
        "base_scores": base_scores,
        "chat_scores": chat_scores,
        "teacher_scores": teacher_scores,
    }
    return factory.produce(
        context,
        lambda out: stage.run(out, recipe=recipe, artifacts=artifacts),
        inputs=artifacts,
        params={"name": recipe.name, "description": recipe.description},
        version=stage.VERSION,
    )
