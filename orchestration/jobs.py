"""Jobs: what a person wants done, as selections of the one asset graph."""

from __future__ import annotations

import dagster as dg

from assets.resources import RECIPES

#: Quiet console: the log of a run is in the Dagster UI, progress lines come from the stages.
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

_groups = dg.AssetSelection.groups
_data = _groups("crawl", "refinecode", "web") | dg.AssetSelection.assets(
    "composition", "sampling_plan", "stg_filtered_documents"
)
_scores = _groups("scores")


def _job(
    name: str, selection: dg.AssetSelection, description: str
) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=selection,
        description=description,
        partitions_def=RECIPES,
        executor_def=dg.in_process_executor,
    )


cookbook = _job(
    "cookbook",
    dg.AssetSelection.all() - _groups("tuning"),
    "The whole graph for one recipe or variant, without looking at single thresholds.",
)
data = _job("data", _data, "From the crawl to the sampled corpus.")
training = _job(
    "training",
    _groups("anneal", "instruct", "models")
    | dg.AssetSelection.assets("anneal_mix", "sft_mix", "funnel", "drop_reasons", "stg_decisions"),
    "Annealing and instruction data, tokenizer, shards and the four trainings.",
)
evaluation = _job(
    "evaluation",
    _scores | dg.AssetSelection.assets("scoreboard", "study_results", "study_comparison"),
    "Scores of the base and chat checkpoints, and the scoreboard.",
)

JOBS = [cookbook, data, training, evaluation]
