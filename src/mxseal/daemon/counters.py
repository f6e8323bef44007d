"""What is counted, and the text in which Prometheus reads it.

The labels have few fixed values each; no domain is ever one.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

BUCKETS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds; of the time that finding an answer out takes."""


class Counters:
    """One for the whole service; plain attributes, since they are counted in the hot path."""

    def __init__(self) -> None:
        self.ready = 0
        """Answers that were ready."""
        self.at_once: Counter[str] = Counter()
        """Answers that follow from the question or an override, by kind."""
        self.found_out: Counter[str] = Counter()
        """Answers that had to be found out, by kind."""
        self.seconds: Counter[float] = Counter()
        self.seconds_sum = 0.0
        self.malformed: Counter[str] = Counter()
        """Requests that were none, by listener."""
        self.connections: Counter[str] = Counter()
        """Open now, by listener."""
        self.accepted: Counter[str] = Counter()
        self.refused = 0
        """Connections beyond the limit."""
        self.reloads: Counter[str] = Counter()
        """By result."""

    @property
    def open_connections(self) -> int:
        return self.connections.total()

    def took(self, seconds: float) -> None:
        """An answer was found out in so many seconds."""
        self.seconds[next((bound for bound in BUCKETS if seconds <= bound), float("inf"))] += 1
        self.seconds_sum += seconds


def exposition(counters: Counters, gauges: dict[str, tuple[str, float]]) -> str:
    """The text of ``/metrics`` (Prometheus' text format 0.0.4); `gauges`: name → help and value."""
    return "".join(f"{line}\n" for line in _lines(counters, gauges))


def _lines(counters: Counters, gauges: dict[str, tuple[str, float]]) -> Iterator[str]:
    name = "mxseal_answers_total"
    yield f"# HELP {name} Questions of MTAs that were answered, by where the answer came from and what it was."
    yield f"# TYPE {name} counter"
    yield f'{name}{{from="ready",answer="any"}} {counters.ready}'
    for source, counted in (("at-once", counters.at_once), ("found-out", counters.found_out)):
        for kind, count in sorted(counted.items()):
            yield f'{name}{{from="{source}",answer="{kind}"}} {count}'
    yield from _histogram(counters)
    for name, text, label, counted in (
        ("mxseal_malformed_requests_total", "Requests that were none.", "listener", counters.malformed),
        ("mxseal_connections_total", "Connections that were accepted.", "listener", counters.accepted),
        ("mxseal_reloads_total", "Times that the configuration was read again.", "result", counters.reloads),
    ):
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} counter"
        for word, count in sorted(counted.items()):
            yield f'{name}{{{label}="{word}"}} {count}'
    yield "# HELP mxseal_refused_connections_total Connections beyond serve.connections."
    yield "# TYPE mxseal_refused_connections_total counter"
    yield f"mxseal_refused_connections_total {counters.refused}"
    yield "# HELP mxseal_connections Connections that are open."
    yield "# TYPE mxseal_connections gauge"
    for listener, count in sorted(counters.connections.items()):
        yield f'mxseal_connections{{listener="{listener}"}} {count}'
    for name, (text, value) in gauges.items():
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} gauge"
        yield f"{name} {value:g}" if value < 1e6 else f"{name} {value:.0f}"


def _histogram(counters: Counters) -> Iterator[str]:
    name = "mxseal_finding_out_seconds"
    yield f"# HELP {name} How long it took to find answers out."
    yield f"# TYPE {name} histogram"
    so_far = 0
    for bound in BUCKETS:
        so_far += counters.seconds[bound]
        yield f'{name}_bucket{{le="{bound:g}"}} {so_far}'
    total = so_far + counters.seconds[float("inf")]
    yield f'{name}_bucket{{le="+Inf"}} {total}'
    yield f"{name}_sum {counters.seconds_sum:.6f}"
    yield f"{name}_count {total}"
