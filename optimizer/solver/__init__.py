"""CP-SAT and the engines beside it: the search for the best plan; nothing else imports ortools."""
