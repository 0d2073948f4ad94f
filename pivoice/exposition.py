"""Prometheus' text form, by its own library, which is loaded when somebody asks: 1.5 MB of memory.

Any thread. Counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pivoice.metrics import Family


def text_of(families: Iterable[Family]) -> str:
    """Return `families` as Prometheus reads them."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector

    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}

    class Collected(Collector):
        def collect(self) -> Iterator[Metric]:
            for each in families:
                if each.kind == "histogram":
                    histogram = HistogramMetricFamily(each.name, each.help, labels=each.labels)
                    for labels, buckets, total in each.histograms:
                        histogram.add_metric(labels, buckets, total)
                    yield histogram
                else:
                    family = kinds[each.kind](each.name, each.help, labels=each.labels)
                    for labels, value in each.samples:
                        family.add_metric(labels, value)
                    yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry).decode()
