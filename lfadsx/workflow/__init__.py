"""The standard jobs on a run folder: fit, choose, test, evaluate, infer, generate; under the command line."""

from lfadsx.workflow.crossing import CrossValidation as CrossValidation
from lfadsx.workflow.crossing import cross_validation_run as cross_validation_run
from lfadsx.workflow.finishing import draw_figures as draw_figures
from lfadsx.workflow.fitting import fit_run as fit_run
from lfadsx.workflow.fitting import start_from as start_from
from lfadsx.workflow.results import Outcome as Outcome
from lfadsx.workflow.results import check_bin_width as check_bin_width
from lfadsx.workflow.results import likelihood_name as likelihood_name
from lfadsx.workflow.results import scored_split as scored_split
from lfadsx.workflow.searching import PopulationOutcome as PopulationOutcome
from lfadsx.workflow.searching import population_run as population_run
from lfadsx.workflow.sweeping import Sweep as Sweep
from lfadsx.workflow.sweeping import sweep_run as sweep_run
from lfadsx.workflow.using import evaluate_run as evaluate_run
from lfadsx.workflow.using import generate_run as generate_run
from lfadsx.workflow.using import infer_run as infer_run
