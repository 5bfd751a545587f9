"""Metrics of plans, one file each, for every kind of problem that has them.

A file holds a docstring with the formula, TITLE (what people call it), UNIT, BETTER ('lower' or 'higher') and
the forms it has; STEP is its resolution where that is not its unit's (`optimizer.metrics`), RANK its place
where plans of replicas and of training list their metrics, last without. The forms:

- architectures: QUANTITY (a key of `cost.quantities.QUANTITIES`), RISES (True or False as the value rises or
  falls with the quantity, None if it may turn) and `value(at, quantity)`, where `at` is a `cost.frame.Slice`;
- deployments and fleets, a total over chips: SCALE (whole units in one of UNIT, in which it is added up) and
  `each(chip)`, what one chip adds, None where nobody says; GIVEN_BY is the field that says it;
- deployments, a latency: ABSENT_IN, the mode of replicas that has none; a plan has its replicas' worst;
- deployments and fleets, traffic: `per_request(output_tokens)`, what one request counts;
- estimates, architectures, deployments, room: `held(frame, architecture)`, what a replica has room for, and
  `holding(frame, tokens)`, the frame whose memory says whether it has room for so many, which is what rows
  are made of; OF_A_PLAN is 'sum' or 'least' over the replicas in the phases of COUNTED_IN. The services of a
  fleet have those that are least. They are bounded from below alone;
- training: `trained(run)`, of a `cost.training.run.Run`; it never improves as the step or the memory grows.

Every metric can be minimised or maximised, bounded (`<metric>_max`, `<metric>_min`) and reported by the kinds
that have it. Arrays broadcast.
"""
