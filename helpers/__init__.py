"""Support module of *Flow-Based Generative Modeling on Five Rings*.

Reading order: `environment`, `validation`, `arcs`, `rings`, `path`, `ladders`, `distributions`,
`networks`, `splines`, `flows`, `transforms`, `matching`, `flow_maps`, `ode`, `training`, `metrics`,
`pairs`, `empirical`, `schedules`, `sde`, `instruments`, `calibration`, `page`, `clinic`, `plots`,
`explorer`.
A file imports only from the files before it.
"""

from helpers import environment

environment.limit_threads()
