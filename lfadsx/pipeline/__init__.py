"""The jobs of the command line: fit, choose, test, evaluate, infer, generate, export."""

from lfadsx.pipeline.controls_job import controls as controls
from lfadsx.pipeline.cross_validation_job import cross_validate as cross_validate
from lfadsx.pipeline.dynamics_job import dynamics_run as dynamics_run
from lfadsx.pipeline.export_job import export as export
from lfadsx.pipeline.few_shot_job import few_shot as few_shot
from lfadsx.pipeline.few_shot_job import few_shot_run as few_shot_run
from lfadsx.pipeline.fit_job import fit_run as fit_run
from lfadsx.pipeline.fit_job import start_from as start_from
from lfadsx.pipeline.infer_job import generate_run as generate_run
from lfadsx.pipeline.infer_job import infer_run as infer_run
from lfadsx.pipeline.outcome import Outcome as Outcome
from lfadsx.pipeline.population_job import population_run as population_run
from lfadsx.pipeline.report_job import report_run as report_run
from lfadsx.pipeline.scoring import evaluate_run as evaluate_run
from lfadsx.pipeline.sweep_job import sweep as sweep
