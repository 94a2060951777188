"""Calls everything of the Analytics API that the vendor's own client has. Arguments: base URL of Waymark, key. Prints a line a call."""

import base64
import csv
import io
import json
import sys
import time
from datetime import datetime, timedelta, timezone

import linkbreakers as lb
from linkbreakers.exceptions import ApiException, BadRequestException, ConflictException
from linkbreakers.exceptions import ForbiddenException, NotFoundException, UnauthorizedException

url, key = sys.argv[1:3]


def client_of(token):
    return lb.ApiClient(lb.Configuration(host=f"{url}/analytics", access_token=token))


client = client_of(key)
events, visitors, data = lb.EventsApi(client), lb.VisitorsApi(client), lb.AnalyticsDataApi(client)
metrics, series, links = lb.WorkspaceMetricsApi(client), lb.TimeSeriesApi(client), lb.LinksApi(client)
tags, tokens, scopes = lb.TagsApi(client), lb.WorkspaceTokensApi(client), lb.APIScopesApi(client)
jobs = lb.JobsApi(client)

now = datetime.now(timezone.utc)
start, end = now - timedelta(days=10), now + timedelta(hours=1)
failures = 0


def check(name, call, holds):
    """Calls, and checks what the client made of the answer."""
    global failures
    answer = None
    try:
        answer = call()
        assert holds(answer), f"the answer is {answer}"
        print(f"ok {name}")
    except Exception as error:  # whatever goes wrong is what this is about
        failures += 1
        print(f"FAILED {name}: {type(error).__name__}: {str(error)[:600]}")
    return answer


def refuse(name, call, kind, says=""):
    """Calls, and checks that the client throws this error, in whose body it reads its own model of errors."""

    def answer():
        try:
            return call()
        except ApiException as error:
            return error

    def holds(error):
        inner = lb.ErrorResponse.from_dict(json.loads(error.body)["error"])
        return isinstance(error, kind) and inner.code == error.status and says in inner.message

    check(name, answer, holds)


def ended(job_id):
    """A job once it has ended, for ten seconds at the most."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        answer = jobs.jobs_service_get(job_id)
        if answer.status in ("JOB_STATUS_SUCCEEDED", "JOB_STATUS_FAILED"):
            return answer
        time.sleep(0.1)
    raise TimeoutError(f"job {job_id} has not ended")


def pages(call, read):
    """All items of a list, by pages as its client goes through them."""
    items, token = [], ""
    while True:
        part = call(token)
        items += read(part)
        token = part.next_page_token
        if not token:
            return items


made = check(
    "links create",
    lambda: links.links_service_create(
        lb.CreateLinkRequest(
            destination="https://example.com/a", name="First", tags=["spring"], metadata={"shelf": "3"}, conversionTracking=False
        )
    ),
    lambda answer: answer.link.name == "First"
    and answer.link.event_count == 0
    and answer.link.metadata == {"shelf": "3"}
    and answer.link.entrypoint.endswith(answer.link.shortlink)
    and abs((answer.link.created_at - now).total_seconds()) < 60,
)
link_id = made.link.id
bulk = check(
    "links in bulk",
    lambda: links.links_service_create_bulk(
        lb.CreateBulkLinksRequest(
            links=[lb.CreateLinkRequest(destination=f"https://example.com/{n}", name=f"Bulk {n}", tags=["bulk"]) for n in range(5)]
        )
    ),
    lambda answer: [link.name for link in answer.links] == [f"Bulk {n}" for n in range(5)],
)
check("links get", lambda: links.links_service_get(link_id), lambda answer: answer.link.id == link_id)
check(
    "links list",
    lambda: links.links_service_list(page_size=10),
    lambda answer: answer.total_count == 6 and any(one.id == link_id for one in answer.links) and not answer.next_page_token,
)
check(
    "links by pages",
    lambda: pages(lambda token: links.links_service_list(page_size=2, page_token=token), lambda part: part.links),
    lambda all_links: len(all_links) == 6 and len({link.id for link in all_links}) == 6,
)
by_cursor = {
    "links": lambda token: links.links_service_list(page_size=2, cursor=token),
    "tags": lambda token: tags.tags_service_list(page_size=1, cursor=token),
}
for name, call in by_cursor.items():
    check(
        f"{name} by the other name of a page token",
        lambda: call(call("").next_page_token),
        lambda answer: answer.next_page_token != call("").next_page_token,
    )
check(
    "links by tag and name",
    lambda: links.links_service_list(page_size=10, tags=["bulk"], search="Bulk 3"),
    lambda answer: [link.name for link in answer.links] == ["Bulk 3"] and answer.total_count == 1,
)
check(
    "links update",
    lambda: links.links_service_update(link_id, lb.LinksServiceUpdateBody(name="Renamed", destination="https://example.com/b")),
    lambda answer: answer.link.name == "Renamed",
)
check(
    "tags list",
    lambda: tags.tags_service_list(page_size=10),
    lambda answer: {tag.name for tag in answer.tags} == {"spring", "bulk"},
)
refuse(
    "a link without a destination that can be",
    lambda: links.links_service_create(lb.CreateLinkRequest(destination="not a URL")),
    BadRequestException,
    "destination",
)
refuse(
    "a shortlink that is taken",
    lambda: links.links_service_create(lb.CreateLinkRequest(destination="https://example.com", shortlink=made.link.shortlink)),
    ConflictException,
)

# Scans are recorded by the test, for the link that it is told here.
print(f"link {link_id}", flush=True)
sys.stdin.readline()

everything = ["device", "visitor", "link", "workspace", "leadScore"]
listed = check(
    "events list",
    lambda: events.events_service_list_events(link_id=link_id, page_size=2, include=everything),
    lambda answer: [event.id for event in answer.var_json.events] == ["v2", "v1"]
    and answer.var_json.has_more
    and answer.var_json.total_count == 3,
)
listed_all = events.events_service_list_events(page_size=2)
check(
    "what an event includes",
    lambda: listed.var_json.events[0],
    lambda event: event.device.country == "DE"
    and event.visitor.id == event.visitor_id
    and event.link.name == "Renamed"
    and event.workspace.id == event.workspace_id
    and event.link_id == link_id
    and event.visit_type == lb.VisitType.VISIT_TYPE_FIRST
    and event.action == lb.Action.ACTION_SCAN
    and event.scanned_at.tzinfo is not None,
)
check(
    "events by pages",
    lambda: pages(
        lambda token: events.events_service_list_events(link_id=link_id, page_size=2, page_token=token, include=everything).var_json,
        lambda part: part.events,
    ),
    lambda all_events: [event.id for event in all_events] == ["v2", "v1", "v3"],
)
check(
    "events by the other name of a page token",
    lambda: events.events_service_list_events(page_size=2, cursor=listed_all.var_json.next_page_token),
    lambda answer: [event.id for event in answer.var_json.events] == ["v3"],
)
check(
    "events of a time",
    lambda: events.events_service_list_events(start_date=now - timedelta(hours=30), end_date=now - timedelta(hours=20)),
    lambda answer: [event.id for event in answer.var_json.events] == ["v1"],
)
check(
    "events of a visitor",
    lambda: events.events_service_list_events(visitor_id=listed.var_json.events[1].visitor_id),
    lambda answer: sorted(event.id for event in answer.var_json.events) == ["v1", "v3"],
)
check(
    "events as CSV",
    lambda: events.events_service_list_events(response_format="RESPONSE_FORMAT_CSV"),
    lambda answer: answer.var_json is None
    and answer.csv.content_type == "text/csv"
    and [row["id"] for row in csv.DictReader(io.StringIO(answer.csv.csv_data))] == ["v2", "v1", "v3"],
)
event = listed.var_json.events[1]
check("event traces", lambda: events.events_service_list_event_traces(event.id), lambda answer: answer.traces is not None)
refuse("traces of no event", lambda: events.events_service_list_event_traces("nobody"), NotFoundException)
refuse(
    "a time that ends before it starts",
    lambda: events.events_service_list_events(start_date=end, end_date=start),
    BadRequestException,
    "endDate",
)
refuse("a page token of another list", lambda: events.events_service_list_events(page_token="x"), BadRequestException, "pageToken")
check(
    "visitors list",
    lambda: visitors.visitors_service_list(include=["devices", "events", "links"], link_id=link_id),
    lambda answer: answer.var_json.total_count == 2
    and {visitor.visit_count for visitor in answer.var_json.visitors} == {1, 2}
    and all(visitor.device_count == 1 and visitor.qrcode_count == 1 for visitor in answer.var_json.visitors)
    and all(visitor.links[0].id == link_id and visitor.links[0].event_count >= 1 for visitor in answer.var_json.visitors)
    and all(visitor.devices and visitor.events for visitor in answer.var_json.visitors),
)
check(
    "visitors by pages",
    lambda: pages(
        lambda token: visitors.visitors_service_list(page_size=1, page_token=token).var_json, lambda part: part.visitors
    ),
    lambda all_visitors: len({visitor.id for visitor in all_visitors}) == len(all_visitors) == 2,
)
one_and_next = ["", visitors.visitors_service_list(page_size=1).var_json.next_page_token]
check(
    "visitors by the other name of a page token",
    lambda: [visitors.visitors_service_list(page_size=1, cursor=token).var_json for token in one_and_next],
    lambda parts: parts[0].visitors[0].id != parts[1].visitors[0].id and not parts[1].has_more,
)
check(
    "visitors as CSV",
    lambda: visitors.visitors_service_list(response_format="RESPONSE_FORMAT_CSV"),
    lambda answer: len(list(csv.DictReader(io.StringIO(answer.csv.csv_data)))) == 2,
)
lbid = base64.urlsafe_b64encode(event.id.encode()).decode().rstrip("=")
person = {"$email": "ann@example.com", "$firstName": "Ann", "seats": 3, "plan": "pro", "member": True}
identified = check(
    "visitor identify",
    lambda: visitors.visitors_service_identify(lb.IdentifyRequest(lbid=lbid, visitor=lb.VisitorInput(data=person))),
    lambda answer: answer.created and answer.visitor.email == "ann@example.com" and answer.visitor.first_name == "Ann",
)
visitor_id = identified.visitor.id
check(
    "visitor identify again",
    lambda: visitors.visitors_service_identify(lb.IdentifyRequest(lbid=lbid, visitor=lb.VisitorInput(data={"seats": 3}))),
    lambda answer: not answer.created and answer.visitor.id == visitor_id,
)
refuse(
    "identifying by no event",
    lambda: visitors.visitors_service_identify(lb.IdentifyRequest(lbid="bm9ib2R5", visitor=lb.VisitorInput(data=person))),
    NotFoundException,
)
check(
    "visitor get",
    lambda: visitors.visitors_service_get(visitor_id, include=["events"]),
    lambda answer: answer.email == "ann@example.com" and len(answer.events) == 2,
)
check(
    "visitor update",
    lambda: visitors.visitors_service_update(visitor_id, lb.VisitorsServiceUpdateBody(visitor=lb.VisitorInput(data={"plan": "free"}))),
    lambda answer: {one.key: one.value for one in answer.attributes} == {"plan": "free", "seats": "3", "member": "true"},
)
check(
    "visitors by address",
    lambda: visitors.visitors_service_list(email="ann@example.com"),
    lambda answer: answer.var_json.total_count == 1 and answer.var_json.visitors[0].id == visitor_id,
)
check(
    "visitors by a part of a name",
    lambda: visitors.visitors_service_list(search="ann"),
    lambda answer: [visitor.id for visitor in answer.var_json.visitors] == [visitor_id],
)
# By filters of attributes, each with whom it finds: Ann, with 3 seats, a plan, and who is a member; and somebody unknown.
ANN, UNKNOWN = "ann", "unknown"
FILTERS = [
    ("STRING_EQUALS", "plan", "free", [ANN]),
    ("STRING_EQUALS", "plan", "Free", []),
    ("STRING_NOT_EQUALS", "plan", "free", [UNKNOWN]),
    ("STRING_CONTAINS", "plan", "re", [ANN]),
    ("STRING_NOT_CONTAINS", "plan", "re", [UNKNOWN]),
    ("STRING_STARTS_WITH", "plan", "fr", [ANN]),
    ("STRING_ENDS_WITH", "plan", "ee", [ANN]),
    ("STRING_IS_EMPTY", "plan", None, [UNKNOWN]),
    ("STRING_IS_NOT_EMPTY", "plan", None, [ANN]),
    ("STRING_EQUALS", "$email", "ann@example.com", [ANN]),
    ("NUMBER_EQUALS", "seats", "3", [ANN]),
    ("NUMBER_NOT_EQUALS", "seats", "3", []),
    ("NUMBER_GREATER_THAN", "seats", "2.5", [ANN]),
    ("NUMBER_LESS_THAN", "seats", "3", []),
    ("NUMBER_GREATER_OR_EQUAL", "seats", "3", [ANN]),
    ("NUMBER_LESS_OR_EQUAL", "seats", "2", []),
    ("DATE_EQUALS", "since", "2026-03-01", [ANN]),
    ("DATE_BEFORE", "since", "2026-03-01", []),
    ("DATE_AFTER", "since", "2026-02-28T23:59:59Z", [ANN]),
    ("DATE_BEFORE_OR_EQUAL", "since", "2026-03-01", [ANN]),
    ("DATE_AFTER_OR_EQUAL", "since", "2026-03-02", []),
    ("BOOLEAN_IS_TRUE", "member", None, [ANN]),
    ("BOOLEAN_IS_FALSE", "member", None, [UNKNOWN]),
    ("EXISTS", "seats", None, [ANN]),
    ("NOT_EXISTS", "seats", None, [UNKNOWN]),
]


def filter_of(operator, key, value=None):
    return lb.VisitorAttributeFilter(key=key, operator=f"VISITOR_ATTRIBUTE_FILTER_OPERATOR_{operator}", value=value)


def search(filters, **more):
    return visitors.visitors_service_search(lb.ListVisitorsRequest(attributeFilters=[filter_of(*one) for one in filters], **more))


visitors.visitors_service_update(visitor_id, lb.VisitorsServiceUpdateBody(visitor=lb.VisitorInput(data={"since": "2026-03-01"})))
for operator, name, value, whom in FILTERS:
    check(
        f"visitors by {operator} of {name}",
        lambda: search([(operator, name, value)]),
        lambda answer: sorted(ANN if one.id == visitor_id else UNKNOWN for one in answer.var_json.visitors) == whom
        and answer.var_json.total_count == len(whom),
    )
check(
    "visitors by filters and all else",
    lambda: search(
        [("EXISTS", "seats"), ("STRING_EQUALS", "plan", "free")],
        email="ann@example.com",
        search="ann",
        linkId=link_id,
        include=["devices"],
        sortField=lb.VisitorSortField.VISITOR_SORT_FIELD_VISIT_COUNT,
        sortDirection="SORT_DIRECTION_ASC",
    ),
    lambda answer: [one.id for one in answer.var_json.visitors] == [visitor_id] and answer.var_json.visitors[0].devices,
)
check(
    "found visitors by pages",
    lambda: pages(
        lambda token: search([("NOT_EXISTS", "nothing")], pageSize=1, pageToken=token).var_json, lambda part: part.visitors
    ),
    lambda all_visitors: len({visitor.id for visitor in all_visitors}) == len(all_visitors) == 2,
)
check(
    "found visitors as CSV",
    lambda: search([("EXISTS", "seats")], responseFormat="RESPONSE_FORMAT_CSV"),
    lambda answer: answer.var_json is None and len(list(csv.DictReader(io.StringIO(answer.csv.csv_data)))) == 1,
)
for wrong, names in [
    (("NUMBER_EQUALS", "seats", "many"), "attributeFilters[0].value"),
    (("DATE_AFTER", "since", "soon"), "attributeFilters[0].value"),
    (("NUMBER_EQUALS", "$email", "3"), "attributeFilters[0].operator"),
    (("UNSPECIFIED", "seats", "3"), "attributeFilters[0].operator"),
    (("EXISTS", "$nick"), "attributeFilters[0].key"),
]:
    refuse(f"visitors by {wrong}", lambda: search([wrong]), BadRequestException, names)
visitors.visitors_service_update(visitor_id, lb.VisitorsServiceUpdateBody(visitor=lb.VisitorInput(data={"since": None})))
check(
    "attribute keys",
    lambda: visitors.visitors_service_list_attribute_keys(),
    lambda answer: {"plan", "seats", "member"} <= set(answer.attribute_keys),
)
check(
    "attribute metric",
    lambda: data.analytics_data_service_get_attribute_metric(lb.GetAttributeMetricRequest(key="seats")),
    lambda answer: (answer.average_value, answer.min_value, answer.max_value) == (3, 3, 3)
    and (answer.audience_count, answer.total_count, answer.usable_count) == (2, 1, 1)
    and answer.coverage_rate == 50,
)
check(
    "attribute distribution",
    lambda: data.analytics_data_service_get_attribute_distribution(lb.GetAttributeDistributionRequest(key="plan")),
    lambda answer: answer.data[0].label == "free" and answer.data[0].visitor_count == 1,
)
check(
    "attribute values",
    lambda: data.analytics_data_service_get_attribute_values(lb.GetAttributeValuesRequest(key="plan")),
    lambda answer: answer.total == 1 and answer.data[0].value == "free" and answer.data[0].recorded_at is not None,
)
check(
    "events metric",
    lambda: metrics.metrics_service_get_events_metric(link_id=link_id),
    lambda answer: (answer.total_events, answer.total_countries, answer.top_country) == (3, 1, "DE")
    and answer.first_at < answer.last_at,
)
check(
    "events metric of a time",
    lambda: metrics.metrics_service_get_events_metric(start_date=now - timedelta(hours=30), end_date=now - timedelta(hours=20)),
    lambda answer: answer.total_events == 1,
)
check(
    "workspace metric",
    lambda: metrics.metrics_service_get_workspace_metric(),
    lambda answer: answer.total_events == 3 and answer.total_links == 6,
)
check(
    "events time series",
    lambda: series.time_series_service_get_events_time_series(
        lb.GetEventsTimeSeriesRequest(startDate=start, endDate=end, intervalInMinutes=1440, linkId=link_id)
    ),
    lambda answer: answer.time_series.total_data == 3
    and answer.time_series.total_intervals == len(answer.time_series.data) == 11
    and sum(point.event_count for point in answer.time_series.data) == 3,
)
ranged = {"startDate": start, "endDate": end, "linkId": link_id}
check(
    "grouped time series",
    lambda: data.analytics_data_service_get_grouped_time_series(
        lb.GetGroupedTimeSeriesRequest(**ranged, groupBy="GROUP_BY_DIMENSION_COUNTRY", intervalInMinutes=1440)
    ),
    lambda answer: answer.total_events == 3
    and answer.series[0].label == "DE"
    and sum(point.value for point in answer.series[0].points) == 2,
)
for dimension in ["country", "city", "browser", "platform"]:
    check(
        f"breakdown by {dimension}",
        lambda: data.analytics_data_service_get_breakdown(lb.GetBreakdownRequest(**ranged, dimension=dimension, limit=5)),
        lambda answer: answer.total == 3 and sum(one.event_count for one in answer.data) == 3,
    )
check(
    "shares of a breakdown",
    lambda: data.analytics_data_service_get_breakdown(lb.GetBreakdownRequest(**ranged, dimension="country", limit=5)),
    lambda answer: [(one.code, one.event_count, one.percentage) for one in answer.data] == [("DE", 2, 66.67), ("", 1, 33.33)],
)
refuse(
    "a breakdown by what there is not",
    lambda: data.analytics_data_service_get_breakdown(lb.GetBreakdownRequest(**ranged, dimension="shoes")),
    BadRequestException,
    "dimension",
)
check(
    "geo",
    lambda: data.analytics_data_service_get_geo_breakdown(lb.GetGeoBreakdownRequest(**ranged, groupBy="city")),
    lambda answer: answer.total_events == 3 and answer.data[0].location == "Berlin" and answer.data[0].event_count == 2,
)
check(
    "devices",
    lambda: data.analytics_data_service_get_device_distribution(lb.GetDeviceDistributionRequest(**ranged)),
    lambda answer: answer.total_events == 3 and sum(one.percentage for one in answer.data) == 100,
)
check(
    "hours",
    lambda: data.analytics_data_service_get_hour_of_day_distribution(lb.GetHourOfDayDistributionRequest(**ranged)),
    lambda answer: [one.hour for one in answer.data] == list(range(24)) and sum(one.event_count for one in answer.data) == 3,
)
check(
    "visitor trends",
    lambda: data.analytics_data_service_get_visitor_trends(lb.GetVisitorTrendsRequest(**ranged, intervalInMinutes=1440)),
    lambda answer: (answer.total_new, answer.total_returning) == (2, 1),
)
check(
    "top links",
    lambda: data.analytics_data_service_get_top_links(lb.GetTopLinksRequest(startDate=start, endDate=end, limit=3)),
    lambda answer: answer.total_events == 3
    and (answer.data[0].name, answer.data[0].shortlink, answer.data[0].event_count) == ("Renamed", made.link.shortlink, 3),
)
check(
    "funnel",
    lambda: data.analytics_data_service_get_step_funnel(lb.GetStepFunnelRequest(**ranged)),
    lambda answer: answer.entry_visits == 3 and answer.steps[0].visits == 3,
)
token = check(
    "token create",
    lambda: tokens.workspace_tokens_service_create(
        lb.CreateWorkspaceTokenRequest(
            keyType="WORKSPACE_TOKEN_KEY_TYPE_SECRET", name="T", scopes=["API_SCOPE_LINKS_WRITE", "API_SCOPE_ANALYTICS_READ"]
        )
    ),
    lambda answer: answer.token.name == "T"
    and not answer.token.full_access
    and {"API_SCOPE_ANALYTICS_READ", "API_SCOPE_LINKS_READ", "API_SCOPE_LINKS_WRITE"} == set(answer.token.scopes),
)
scoped = client_of(token.access_token)
check(
    "what a scope allows",
    lambda: lb.EventsApi(scoped).events_service_list_events(page_size=1),
    lambda answer: answer.var_json.total_count == 3,
)
refuse("what no scope allows", lambda: lb.VisitorsApi(scoped).visitors_service_list(), ForbiddenException)
check(
    "tokens list",
    lambda: tokens.workspace_tokens_service_list(),
    lambda answer: any(one.id == token.token.id and one.last_used_at is not None for one in answer.tokens),
)
check(
    "tokens by pages",
    lambda: pages(lambda part: tokens.workspace_tokens_service_list(page_size=1, cursor=part), lambda part: part.tokens),
    lambda all_tokens: len({one.id for one in all_tokens}) == len(all_tokens) == 2,
)
check("token get", lambda: tokens.workspace_tokens_service_get(token.token.id), lambda answer: answer.token.id == token.token.id)
check(
    "token renamed",
    lambda: tokens.workspace_tokens_service_update(token.token.id, lb.WorkspaceTokensServiceUpdateBody(name="Renamed")),
    lambda answer: answer.token.name == "Renamed"
    and set(answer.token.scopes) == set(token.token.scopes)
    and answer.token.updated_at > answer.token.created_at,
)
check(
    "token with other scopes",
    lambda: tokens.workspace_tokens_service_update(
        token.token.id, lb.WorkspaceTokensServiceUpdateBody(scopes=["API_SCOPE_ANALYTICS_READ", "API_SCOPE_VISITORS_READ"])
    ),
    lambda answer: set(answer.token.scopes) == {"API_SCOPE_ANALYTICS_READ", "API_SCOPE_VISITORS_READ"}
    and not answer.token.full_access,
)
check("what a new scope allows", lambda: lb.VisitorsApi(scoped).visitors_service_list(), lambda answer: answer.var_json.total_count == 2)
refuse("what an old scope allowed", lambda: lb.LinksApi(scoped).links_service_delete("nobody"), ForbiddenException)
check(
    "token with full access",
    lambda: tokens.workspace_tokens_service_update(token.token.id, lb.WorkspaceTokensServiceUpdateBody(fullAccess=True)),
    lambda answer: answer.token.full_access,
)
refuse(
    "a token without a name",
    lambda: tokens.workspace_tokens_service_update(token.token.id, lb.WorkspaceTokensServiceUpdateBody(name="")),
    BadRequestException,
    "name",
)
refuse(
    "a token with scopes and full access",
    lambda: tokens.workspace_tokens_service_update(
        token.token.id, lb.WorkspaceTokensServiceUpdateBody(scopes=["API_SCOPE_LINKS_READ"], fullAccess=True)
    ),
    BadRequestException,
    "scopes",
)
refuse(
    "a token that there is not",
    lambda: tokens.workspace_tokens_service_update("nobody", lb.WorkspaceTokensServiceUpdateBody(name="X")),
    NotFoundException,
)
check("token delete", lambda: tokens.workspace_tokens_service_delete(token.token.id), lambda answer: True)
refuse("a token that is gone", lambda: tokens.workspace_tokens_service_get(token.token.id), NotFoundException)
refuse("a token that was revoked", lambda: lb.EventsApi(scoped).events_service_list_events(), ForbiddenException)
check(
    "scopes",
    lambda: scopes.workspace_tokens_service_list_api_scopes(),
    lambda answer: {"links:read", "links:write", "analytics:read", "visitors:write", "tokens:read"} <= {one.name for one in answer.scopes},
)
check("visitor attribute delete", lambda: visitors.visitors_service_delete_attribute(visitor_id, "plan"), lambda answer: answer.success)
check(
    "what is left of a visitor",
    lambda: visitors.visitors_service_get(visitor_id),
    lambda answer: {one.key for one in answer.attributes} == {"seats", "member"} and answer.email == "ann@example.com",
)
refuse(
    "an attribute that is gone", lambda: visitors.visitors_service_delete_attribute(visitor_id, "plan"), NotFoundException, "plan"
)
refuse(
    "an address deleted like an attribute",
    lambda: visitors.visitors_service_delete_attribute(visitor_id, "$email"),
    BadRequestException,
    "attributeKey",
)
check(
    "links by batch",
    lambda: links.links_service_create_batch(
        [lb.CreateLinkRequest(destination=f"https://example.com/b{n}", name=f"Batch {n}", tags=["batch", "kept"]) for n in range(3)]
    ),
    lambda answer: [link.name for link in answer.links] == ["Batch 0", "Batch 1", "Batch 2"],
)
refuse(
    "a batch with a wrong link",
    lambda: links.links_service_create_batch(
        [lb.CreateLinkRequest(destination="https://example.com"), lb.CreateLinkRequest(destination="nowhere")]
    ),
    BadRequestException,
    "[1].destination",
)
refuse("an empty batch", lambda: links.links_service_create_batch([]), BadRequestException)
some = links.links_service_list(page_size=50, tags=["batch"]).links
check(
    "pictures of links",
    lambda: links.links_service_resolve_qrcode_images(lb.ResolveQrcodeImagesRequest(linkIds=[link.id for link in some] + ["nobody"])),
    lambda answer: answer.qrcode_signed_urls == {link.id: link.qrcode_signed_url for link in some} and len(some) == 3,
)
check(
    "a shortlink that is taken is told",
    lambda: links.links_service_shortlink_availability(shortlink=made.link.shortlink),
    lambda answer: answer.available is False,
)
refuse(
    "a shortlink that cannot be",
    lambda: links.links_service_shortlink_availability(shortlink="a b"),
    BadRequestException,
    "shortlink",
)
free = check(
    "a shortlink by chance", lambda: links.links_service_shortlink_random(), lambda answer: len(answer.shortlink) >= 6
).shortlink
check(
    "a shortlink that is free is told",
    lambda: links.links_service_shortlink_availability(shortlink=free, custom_domain_id=""),
    lambda answer: answer.available is True,
)
check(
    "a link with the shortlink by chance",
    lambda: links.links_service_create(lb.CreateLinkRequest(destination="https://example.com", shortlink=free)),
    lambda answer: answer.link.shortlink == free,
)
job = check(
    "links in the background",
    lambda: links.links_service_create_bulk_async_with_http_info(
        lb.CreateBulkLinksRequest(
            links=[lb.CreateLinkRequest(destination=f"https://example.com/j{n}", name=f"Job {n}") for n in range(3)]
        )
    ),
    lambda answer: answer.status_code == 202
    and answer.data.type == "JOB_TYPE_LINKS_BULK_CREATE"
    and answer.data.item_count == 3
    and {name.lower(): value for name, value in answer.headers.items()}["location"] == f"{url}/analytics{answer.data.status_url}",
).data
check(
    "the links of a job",
    lambda: [links.links_service_get(one).link.name for one in ended(job.id).links_bulk_create.link_ids],
    lambda names: names == ["Job 0", "Job 1", "Job 2"],
)
check(
    "a job that fails",
    lambda: ended(
        links.links_service_create_bulk_async(
            lb.CreateBulkLinksRequest(links=[lb.CreateLinkRequest(destination="https://example.com", shortlink=free)])
        ).id
    ),
    lambda answer: answer.status == "JOB_STATUS_FAILED"
    and answer.error.code_type == "ALREADY_EXISTS"
    and "links[0].shortlink" in answer.error.message
    and answer.completed_at >= answer.created_at,
)
refuse(
    "a job with a wrong link",
    lambda: links.links_service_create_bulk_async(lb.CreateBulkLinksRequest(links=[lb.CreateLinkRequest(destination="nowhere")])),
    BadRequestException,
    "links[0].destination",
)
refuse("a job that there is not", lambda: jobs.jobs_service_get("nobody"), NotFoundException)
check("tag delete", lambda: tags.tags_service_delete("batch"), lambda answer: answer == {})
check(
    "tags that are left",
    lambda: tags.tags_service_list(page_size=10),
    lambda answer: {tag.name for tag in answer.tags} == {"spring", "bulk", "kept"},
)
check(
    "links that had a tag",
    lambda: [links.links_service_get(link.id).link for link in some],
    lambda answer: all([tag.name for tag in link.tags] == ["kept"] for link in answer),
)
refuse("a tag that is gone", lambda: tags.tags_service_delete("batch"), NotFoundException, "batch")
check("visitor delete", lambda: visitors.visitors_service_delete(visitor_id), lambda answer: answer.success)
refuse("a visitor that is gone", lambda: visitors.visitors_service_get(visitor_id), NotFoundException)
check("link delete", lambda: links.links_service_delete(link_id), lambda answer: True)
refuse("a link that is gone", lambda: links.links_service_get(link_id), NotFoundException)
refuse("no key", lambda: lb.EventsApi(client_of("nobody")).events_service_list_events(), UnauthorizedException)
sys.exit(1 if failures else 0)
