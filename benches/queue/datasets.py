"""placeholder"""


def measure(folder, options): ...
