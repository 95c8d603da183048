"""What Prometheus would read."""

from prometheus_client.parser import text_string_to_metric_families


def parsed(text: str) -> dict[str, float]:
    """Sample, with its labels in order of their names, → value."""
    return {
        _named(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _named(name: str, labels: dict[str, str]) -> str:
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name
