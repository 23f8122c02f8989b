"""Counters and gauges where Prometheus can ask for them."""

import time
from typing import Final

from eafl_flower.core.events import Event
from eafl_flower.results.watch import SIZES, TROUBLE, Watch

STALENESS: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)  # upper ends of the histogram's bins
MOST_SCORES: Final = 50  # names, some of which clients may choose


class PrometheusSink:
    """Observer that serves what the events tell at ``http://HOST:PORT/metrics``.

    Parameters
    ----------
    host, port
        Where it listens; a port that is taken is an ``OSError``.
    name
        Label ``run`` of ``eafl_run_info``.
    """

    def __init__(self, host: str, port: int, name: str) -> None:
        import prometheus_client as prometheus

        registry, self._watch = prometheus.CollectorRegistry(), Watch()

        def gauge(of: str, text: str, *labels: str) -> "prometheus.Gauge":
            return prometheus.Gauge(f"eafl_{of}", text, labels, registry=registry)

        def counter(of: str, text: str, *labels: str) -> "prometheus.Counter":
            return prometheus.Counter(f"eafl_{of}", text, labels, registry=registry)

        gauge("run_info", "The run that is served.", "run").labels(name).set(1)
        self._merge = gauge("merge", "Number of the newest merge.")
        self._planned = gauge("merges_planned", "Merges to be made.")
        self._in_flight = gauge("in_flight", "Jobs open now; in virtual time, that may be.")
        self._nodes = gauge("nodes", "Clients whose node is online, or is not; on the wall clock.", "state")
        self._time = gauge("time_seconds", "Time of the newest event on the run's clock.")
        self._told = gauge("last_event_timestamp_seconds", "When the newest event was told.")
        self._ended = gauge("ended", "1 once the run has ended.", "how")
        self._score = gauge("score", "The newest evaluation.", "score")
        self._jobs = counter("jobs_ended", "Jobs by their end.", "end")
        self._bytes = counter("bytes", "Bytes of jobs that have ended.", "kind")
        self._energy = counter("energy_joules", "Joules of jobs that have ended.")
        self._staleness = prometheus.Histogram(
            "eafl_staleness_merges", "Staleness of merged updates.", buckets=STALENESS, registry=registry
        )
        for kind in ("merge", *TROUBLE):
            self._jobs.labels(kind)  # at 0, so that its rate is known from the first one on
        self._scores: set[str] = set()
        self._server, self._thread = prometheus.start_http_server(port, host, registry)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def write(self, event: Event) -> None:
        """Count one event."""
        kind, watch = event["event"], self._watch
        energy_j, sizes = watch.energy_j, dict(watch.sizes)
        watch.add(event)
        self._told.set(time.time())
        self._time.set(watch.time_s)
        self._merge.set(watch.merge)
        self._planned.set(watch.planned)
        self._energy.inc(max(0.0, watch.energy_j - energy_j))
        for name in SIZES:
            self._bytes.labels(name.removesuffix("_bytes")).inc(max(0, watch.sizes[name] - sizes.get(name, 0)))
        if kind == "merge" or kind in TROUBLE:
            self._jobs.labels(kind).inc()
        if kind == "merge":
            self._staleness.observe(event["staleness"])
        elif kind in ("start", "resume"):
            self._in_flight.set(watch.most_in_flight)
        elif kind == "status":
            self._in_flight.set(event["in_flight"])
            for state in ("there", "away"):
                self._nodes.labels(state).set(event[state])
        elif kind == "evaluate":
            self._evaluate(event)
        elif watch.end is not None:
            self._in_flight.set(0)
            self._ended.labels(kind).set(1)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _evaluate(self, event: Event) -> None:
        for name, value in event["metrics"].items():
            if value is not None and (name in self._scores or len(self._scores) < MOST_SCORES):
                self._scores.add(name)
                self._score.labels(name[:100]).set(value)
