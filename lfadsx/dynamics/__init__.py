"""Dynamics: what a trained generator, or any other system, does by itself.

| value or function   | meaning                                                                       |
|---------------------|-------------------------------------------------------------------------------|
| `step_map`          | one step of a model's generator as a function of arrays, a `StepMap`          |
| `visit`, `Visited`  | the states that the generator visits in trials, and the inputs that drove it  |
| `roll_out`          | states from given starts and inputs                                           |
| `fixed_points`      | points where it stands still or nearly so, as `FixedPoints`                   |
| `autonomy`          | how far the generator gets without inputs, as `Autonomy`                      |
| `observability`     | which directions of the state ever reach the factors, as `Observability`      |
| `influence`         | how much dynamics and inputs move the factors in each bin, as `Influence`     |
| `flow_field`        | how states move in a plane, as `FlowField`                                    |
| `speed_between`     | the speed on the line between two states                                      |
| `trust`, `Trust`    | whether the dynamics can be trusted: unread states, inputs in their place     |
| `jacobians`         | how the next state depends on the state and on the inputs                     |
| `Modes`             | eigenvalues of Jacobians as time constants and frequencies                    |
"""

from lfadsx.dynamics.fixed_point_search import fixed_points as fixed_points
from lfadsx.dynamics.flow_in_plane import FlowField as FlowField
from lfadsx.dynamics.flow_in_plane import flow_field as flow_field
from lfadsx.dynamics.flow_in_plane import speed_between as speed_between
from lfadsx.dynamics.found_points import FixedPoints as FixedPoints
from lfadsx.dynamics.generator_step import StepMap as StepMap
from lfadsx.dynamics.generator_step import step_map as step_map
from lfadsx.dynamics.modes import Modes as Modes
from lfadsx.dynamics.modes import frequencies as frequencies
from lfadsx.dynamics.modes import jacobians as jacobians
from lfadsx.dynamics.modes import time_constants as time_constants
from lfadsx.dynamics.readable_directions import Observability as Observability
from lfadsx.dynamics.readable_directions import observability as observability
from lfadsx.dynamics.trust_checks import Trust as Trust
from lfadsx.dynamics.trust_checks import trust as trust
from lfadsx.dynamics.visited import Visited as Visited
from lfadsx.dynamics.visited import roll_out as roll_out
from lfadsx.dynamics.visited import visit as visit
from lfadsx.dynamics.without_inputs import Autonomy as Autonomy
from lfadsx.dynamics.without_inputs import Influence as Influence
from lfadsx.dynamics.without_inputs import autonomy as autonomy
from lfadsx.dynamics.without_inputs import influence as influence
