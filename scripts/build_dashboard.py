"""Writes packaging/monitoring/grafana.json from the table below; with --check only says whether it would change."""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "packaging/monitoring/grafana.json"
INSTANCE = 'instance=~"$instance"'
BUCKETS = f"mxseal_finding_out_seconds_bucket{{{INSTANCE}}}"

PANELS = [
    (
        "Answers by where they come from",
        "reqps",
        "timeseries",
        [(f"sum by (from) (rate(mxseal_answers_total{{{INSTANCE}}}[$__rate_interval]))", "{{from}}")],
    ),
    (
        "Answers found out, by kind",
        "reqps",
        "timeseries",
        [
            (
                f'sum by (answer) (rate(mxseal_answers_total{{{INSTANCE},from="found-out"}}[$__rate_interval]))',
                "{{answer}}",
            )
        ],
    ),
    (
        "How long finding out takes",
        "s",
        "timeseries",
        [
            (
                f"histogram_quantile({quantile}, sum by (le) (rate({BUCKETS}[$__rate_interval])))",
                f"{100 * quantile:g} %",
            )
            for quantile in (0.5, 0.9, 0.99)
        ],
    ),
    (
        "Connections",
        "short",
        "timeseries",
        [(f"sum by (listener) (mxseal_connections{{{INSTANCE}}})", "{{listener}}")],
    ),
    ("Answers ready", "short", "stat", [(f"sum(mxseal_ready_answers{{{INSTANCE}}})", "")]),
    ("Being found out", "short", "stat", [(f"sum(mxseal_finding_out{{{INSTANCE}}})", "")]),
    ("Store in trouble", "short", "stat", [(f"sum(mxseal_store_trouble{{{INSTANCE}}})", "")]),
    ("Overrides", "short", "stat", [(f"max(mxseal_overrides{{{INSTANCE}}})", "")]),
    (
        "Malformed requests and refused connections",
        "short",
        "timeseries",
        [
            (
                f"sum by (listener) (increase(mxseal_malformed_requests_total{{{INSTANCE}}}[$__rate_interval]))",
                "malformed, {{listener}}",
            ),
            (f"sum(increase(mxseal_refused_connections_total{{{INSTANCE}}}[$__rate_interval]))", "refused"),
        ],
    ),
    (
        "Reloads",
        "short",
        "timeseries",
        [(f"sum by (result) (increase(mxseal_reloads_total{{{INSTANCE}}}[$__rate_interval]))", "{{result}}")],
    ),
]
"""Title, unit, kind, and queries: expression and legend."""


def dashboard() -> str:
    """The whole file."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, object]] = []
    x = y = 0
    for number, (title, unit, kind, queries) in enumerate(PANELS, start=1):
        width, height = (6, 4) if kind == "stat" else (12, 8)
        if x + width > 24:
            x, y = 0, y + 8
        panels.append(
            {
                "id": number,
                "title": title,
                "type": kind,
                "datasource": source,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(65 + index), "expr": expression, "legendFormat": legend}
                    for index, (expression, legend) in enumerate(queries)
                ],
            }
        )
        x += width
    variable = {
        "name": "instance",
        "type": "query",
        "datasource": source,
        "query": "label_values(mxseal_ready_answers, instance)",
        "multi": True,
        "includeAll": True,
        "refresh": 2,
    }
    document = {
        "title": "MXSeal: answering MTAs",
        "uid": "mxseal-serve",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}, variable]},
        "panels": panels,
    }
    return json.dumps(document, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    text = dashboard()
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
