"""Claims jobs and runs them in child processes. `supervisor.run_worker` is the way in.

The child processes import this package too, so nothing is imported here.
"""
