"""What people see in a terminal, of the command line and of the demo: bars, and numbers as people write them."""
