"""The standard jobs on a run folder: fit, choose, test, evaluate, infer, generate; under the command line."""

from lfadsx.pipeline.artifacts import draw_figures as draw_figures
from lfadsx.pipeline.cross_validation_job import CrossValidation as CrossValidation
from lfadsx.pipeline.cross_validation_job import cross_validation_run as cross_validation_run
from lfadsx.pipeline.fit_job import fit_run as fit_run
from lfadsx.pipeline.fit_job import start_from as start_from
from lfadsx.pipeline.outcome import Outcome as Outcome
from lfadsx.pipeline.outcome import check_bin_width as check_bin_width
from lfadsx.pipeline.outcome import scored_split as scored_split
from lfadsx.pipeline.population_job import PopulationOutcome as PopulationOutcome
from lfadsx.pipeline.population_job import population_run as population_run
from lfadsx.pipeline.sweep_job import Sweep as Sweep
from lfadsx.pipeline.sweep_job import sweep_run as sweep_run
from lfadsx.pipeline.trained_model_jobs import evaluate_run as evaluate_run
from lfadsx.pipeline.trained_model_jobs import generate_run as generate_run
from lfadsx.pipeline.trained_model_jobs import infer_run as infer_run
