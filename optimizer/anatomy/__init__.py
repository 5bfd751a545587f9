"""One plan looked at closely: what it takes, operator by operator, where each figure comes from."""
