"""Sensors: new recipes become partitions, new checkpoints get scores."""

import json

import dagster as dg

from assets.recipe import recipe_files
from assets.resources import RECIPES, Handles
from assets.settings import Settings
from orchestration.jobs import evaluation

#: Checkpoints and the asset that holds their scores.
SCORED = {"annealed_model": "base_scores", "sft_stage2_model": "chat_scores"}


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def recipes_on_disk(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Register every recipe file as a partition."""
    name = RECIPES.name or "recipes"
    new = sorted(set(recipe_files()) - set(context.instance.get_dynamic_partitions(name)))
    if not new:
        return dg.SkipReason("every recipe on disk is registered")
    return dg.SensorResult(dynamic_partitions_requests=[RECIPES.build_add_request(new)])


@dg.sensor(job=evaluation, minimum_interval_seconds=60)
def score_new_checkpoints(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request scores for each partition that holds a checkpoint which was never scored."""
    handles = Handles(Settings.from_environment().home)
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    requests = []
    for model in sorted(SCORED):
        for path in sorted((handles.folder / model).glob("*.json")):
            held = json.loads(path.read_text())
            slot = f"{model}/{held['partition']}"
            if seen.get(slot) == held["fingerprint"]:
                continue
            seen[slot] = held["fingerprint"]
            if not _is_scored(handles, SCORED[model], held):
                requests.append(held)
    keys = {held["partition"]: held["fingerprint"] for held in requests}
    if not keys:
        return dg.SkipReason("every checkpoint has scores")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{key}@{print_}", partition_key=key)
            for key, print_ in sorted(keys.items())
        ],
        cursor=json.dumps(seen),
    )


def _is_scored(handles: Handles, scores: str, held: dict[str, str]) -> bool:
    path = handles.path(scores, held["partition"])
    if not path.is_file():
        return False
    manifest = json.loads(path.read_text())["path"]
    with open(f"{manifest}/manifest.json") as file:
        inputs = json.load(file)["inputs"]
    return any(source["fingerprint"] == held["fingerprint"] for source in inputs.values())
