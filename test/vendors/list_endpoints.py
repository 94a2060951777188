"""Prints a line for each endpoint that the vendor's own client has for what Waymark serves: "GET /v1/events"."""

import pathlib
import re

import linkbreakers.api

APIS = ["analytics_data", "api_scopes", "events", "jobs", "links", "tags", "time_series", "visitors", "workspace_metrics", "workspace_tokens"]
ENDPOINT = re.compile(r"method='([A-Z]+)',\s+resource_path='([^']+)'")
folder = pathlib.Path(linkbreakers.api.__file__).parent

for name in APIS:
    for method, path in ENDPOINT.findall((folder / f"{name}_api.py").read_text()):
        print(method, path)
