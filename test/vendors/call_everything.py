"""Calls everything of the Analytics API that the vendor's own client has. Arguments: base URL of Waymark, key. Prints a line a call."""

import base64
import sys
import time
from datetime import datetime, timedelta, timezone

import linkbreakers as lb
from linkbreakers.exceptions import ApiException

url, key = sys.argv[1:3]
client = lb.ApiClient(lb.Configuration(host=f"{url}/analytics", access_token=key))
events, visitors, data = lb.EventsApi(client), lb.VisitorsApi(client), lb.AnalyticsDataApi(client)
metrics, series, links = lb.WorkspaceMetricsApi(client), lb.TimeSeriesApi(client), lb.LinksApi(client)
tags, tokens, scopes = lb.TagsApi(client), lb.WorkspaceTokensApi(client), lb.APIScopesApi(client)

now = datetime.now(timezone.utc)
start, end = now - timedelta(days=10), now + timedelta(hours=1)
failures = 0


def check(name, call, holds):
    """Calls, and checks what the client made of the answer."""
    global failures
    try:
        answer = call()
        assert holds(answer), f"the answer is {answer}"
        print(f"ok {name}")
        return answer
    except Exception as error:  # whatever goes wrong is what this is about
        failures += 1
        print(f"FAILED {name}: {type(error).__name__}: {str(error)[:600]}")
        return None


def status_of(call):
    try:
        call()
        return 200
    except ApiException as error:
        return error.status


made = check(
    "links create",
    lambda: links.links_service_create(lb.CreateLinkRequest(destination="https://example.com/a", name="First", tags=["spring"])),
    lambda answer: answer.link.name == "First" and answer.link.event_count == 0,
)
link_id = made.link.id
check("links get", lambda: links.links_service_get(link_id), lambda answer: answer.link.id == link_id)
check("links list", lambda: links.links_service_list(page_size=10), lambda answer: any(one.id == link_id for one in answer.links))
check(
    "links update",
    lambda: links.links_service_update(link_id, lb.LinksServiceUpdateBody(name="Renamed")),
    lambda answer: answer.link.name == "Renamed",
)
check("tags list", lambda: tags.tags_service_list(page_size=10), lambda answer: any(tag.name == "spring" for tag in answer.tags))

# Scans are recorded by the test, for the link that it is told here.
print(f"link {link_id}", flush=True)
sys.stdin.readline()

listed = check(
    "events list",
    lambda: events.events_service_list_events(link_id=link_id, page_size=2, include=["device", "visitor", "link", "leadScore"]),
    lambda answer: len(answer.var_json.events) == 2 and answer.var_json.has_more and answer.var_json.total_count == 3,
)
check(
    "events next page",
    lambda: events.events_service_list_events(
        link_id=link_id, page_size=2, page_token=listed.var_json.next_page_token, include=["device", "visitor", "link", "leadScore"]
    ),
    lambda answer: len(answer.var_json.events) == 1 and not answer.var_json.has_more,
)
check(
    "events as CSV",
    lambda: events.events_service_list_events(response_format="RESPONSE_FORMAT_CSV"),
    lambda answer: answer.csv.csv_data.startswith("id,"),
)
event = listed.var_json.events[0]
check("event traces", lambda: events.events_service_list_event_traces(event.id), lambda answer: answer.traces is not None)
check(
    "visitors list",
    lambda: visitors.visitors_service_list(include=["devices", "events", "links"]),
    lambda answer: answer.var_json.visitors[0].visit_count >= 1,
)
lbid = base64.urlsafe_b64encode(event.id.encode()).decode().rstrip("=")
identified = check(
    "visitor identify",
    lambda: visitors.visitors_service_identify(
        lb.IdentifyRequest(lbid=lbid, visitor=lb.VisitorInput(data={"$email": "ann@example.com", "seats": 3, "plan": "pro"}))
    ),
    lambda answer: answer.created and answer.visitor.email == "ann@example.com",
)
visitor_id = identified.visitor.id
check("visitor get", lambda: visitors.visitors_service_get(visitor_id), lambda answer: answer.email == "ann@example.com")
check(
    "visitor update",
    lambda: visitors.visitors_service_update(visitor_id, lb.VisitorsServiceUpdateBody(visitor=lb.VisitorInput(data={"plan": "free"}))),
    lambda answer: any(one.key == "plan" and one.value == "free" for one in answer.attributes),
)
check("visitors by address", lambda: visitors.visitors_service_list(email="ann@example.com"), lambda answer: answer.var_json.total_count == 1)
check("attribute keys", lambda: visitors.visitors_service_list_attribute_keys(), lambda answer: "plan" in answer.attribute_keys)
check(
    "attribute metric",
    lambda: data.analytics_data_service_get_attribute_metric(lb.GetAttributeMetricRequest(key="seats")),
    lambda answer: answer.average_value == 3 and answer.total_count == 1,
)
check(
    "attribute distribution",
    lambda: data.analytics_data_service_get_attribute_distribution(lb.GetAttributeDistributionRequest(key="plan")),
    lambda answer: answer.data[0].label == "free" and answer.data[0].visitor_count == 1,
)
check(
    "attribute values",
    lambda: data.analytics_data_service_get_attribute_values(lb.GetAttributeValuesRequest(key="plan")),
    lambda answer: answer.data[0].value == "free",
)
check("events metric", lambda: metrics.metrics_service_get_events_metric(link_id=link_id), lambda answer: answer.total_events == 3)
check(
    "workspace metric",
    lambda: metrics.metrics_service_get_workspace_metric(),
    lambda answer: answer.total_events == 3 and answer.total_links == 1,
)
check(
    "events time series",
    lambda: series.time_series_service_get_events_time_series(
        lb.GetEventsTimeSeriesRequest(startDate=start, endDate=end, intervalInMinutes=1440, linkId=link_id)
    ),
    lambda answer: answer.time_series.total_data == 3,
)
ranged = {"startDate": start, "endDate": end, "linkId": link_id}
check(
    "grouped time series",
    lambda: data.analytics_data_service_get_grouped_time_series(
        lb.GetGroupedTimeSeriesRequest(**ranged, groupBy="GROUP_BY_DIMENSION_COUNTRY", intervalInMinutes=1440)
    ),
    lambda answer: answer.total_events == 3 and answer.series[0].label == "DE",
)
check(
    "breakdown",
    lambda: data.analytics_data_service_get_breakdown(lb.GetBreakdownRequest(**ranged, dimension="country", limit=5)),
    lambda answer: answer.total == 3 and answer.data[0].percentage == 66.67,
)
check(
    "geo",
    lambda: data.analytics_data_service_get_geo_breakdown(lb.GetGeoBreakdownRequest(**ranged, groupBy="city")),
    lambda answer: answer.total_events == 3,
)
body = {"endDate": end, "startDate": start, "linkId": link_id}
check("devices", lambda: data.analytics_data_service_get_device_distribution(lb.GetDeviceDistributionRequest(**body)), lambda answer: answer.total_events == 3)
check("hours", lambda: data.analytics_data_service_get_hour_of_day_distribution(lb.GetHourOfDayDistributionRequest(**body)), lambda answer: len(answer.data) == 24)
check(
    "visitor trends",
    lambda: data.analytics_data_service_get_visitor_trends(lb.GetVisitorTrendsRequest(**body, intervalInMinutes=1440)),
    lambda answer: answer.total_new == 2,
)
check("top links", lambda: data.analytics_data_service_get_top_links(lb.GetTopLinksRequest(startDate=start, endDate=end, limit=3)), lambda answer: answer.data[0].name == "Renamed")
check("funnel", lambda: data.analytics_data_service_get_step_funnel(lb.GetStepFunnelRequest(**body)), lambda answer: answer.entry_visits == 3 and answer.steps[0].visits == 3)
token = check(
    "token create",
    lambda: tokens.workspace_tokens_service_create(lb.CreateWorkspaceTokenRequest(keyType="WORKSPACE_TOKEN_KEY_TYPE_SECRET", name="T")),
    lambda answer: answer.access_token and answer.token.name == "T",
)
check("tokens list", lambda: tokens.workspace_tokens_service_list(), lambda answer: len(answer.tokens) >= 1)
check("token get", lambda: tokens.workspace_tokens_service_get(token.token.id), lambda answer: answer.token.id == token.token.id)
check("token delete", lambda: tokens.workspace_tokens_service_delete(token.token.id), lambda answer: True)
check("scopes", lambda: scopes.workspace_tokens_service_list_api_scopes(), lambda answer: any(one.name == "links:read" for one in answer.scopes))
check("visitor delete", lambda: visitors.visitors_service_delete(visitor_id), lambda answer: answer.success)
check("a visitor that is gone", lambda: status_of(lambda: visitors.visitors_service_get(visitor_id)), lambda status: status == 404)
check("link delete", lambda: links.links_service_delete(link_id), lambda answer: True)
check("a link that is gone", lambda: status_of(lambda: links.links_service_get(link_id)), lambda status: status == 404)
wrong = lb.ApiClient(lb.Configuration(host=f"{url}/analytics", access_token="nobody"))
check("no key", lambda: status_of(lambda: lb.EventsApi(wrong).events_service_list_events()), lambda status: status == 401)
sys.exit(1 if failures else 0)
