"""Pure types and rules: what a dataset, a job and an outcome are. No I/O."""
