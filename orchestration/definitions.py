"""All definitions, loaded by ``dagster dev``, ``dagster job execute`` and the `cookbook` CLI.

Nothing here imports torch, transformers, mlflow or pyspark: a test looks at ``sys.modules``.
"""

from __future__ import annotations

import dagster as dg

import assets.anneal.assets
import assets.crawl.assets
import assets.instruct.assets
import assets.models.assets
import assets.refinecode.assets
import assets.release.assets
import assets.scores.assets
import assets.web.assets
from assets.resources import Factory, LakeIOManager
from orchestration import sensors
from orchestration.ablations import ablations
from orchestration.jobs import JOBS
from orchestration.schedules import weekly_recrawl
from orchestration.warehouse import warehouse_assets

FAMILIES = [
    assets.crawl.assets,
    assets.web.assets,
    assets.refinecode.assets,
    assets.anneal.assets,
    assets.instruct.assets,
    assets.models.assets,
    assets.scores.assets,
    assets.release.assets,
]

defs = dg.Definitions(
    assets=[*dg.load_assets_from_modules(FAMILIES), *warehouse_assets()],
    jobs=[
        *JOBS,
        dg.define_asset_job(
            "scoreboard",
            selection=dg.AssetSelection.assets("scoreboard", "study_results", "study_comparison"),
            executor_def=dg.in_process_executor,
            description="Rebuild the marts that compare recipes.",
        ),
        ablations,
    ],
    schedules=[weekly_recrawl],
    sensors=[sensors.recipes_on_disk, sensors.score_new_checkpoints],
    resources={
        "factory": Factory(),
        "io_manager": LakeIOManager(),
        "pipes": dg.PipesSubprocessClient(),
    },
    executor=dg.in_process_executor,
)
