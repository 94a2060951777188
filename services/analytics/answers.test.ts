import { toJson } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { EventSchema, SortDirection, VisitorSchema } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { deviceKey } from "./device-key.ts";
import * as plain from "./test-answers.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "./test-ground.ts";
import { history, write } from "./test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

let run = 0;

/** Runs checks over random histories, each in workspaces of its own; all stand in one table. */
async function overHistories(...checks: ((events: plain.Event[], asked: plain.Asked) => Promise<void>)[]) {
  const histories = fc.nat().chain(() => {
    run += 1;
    const workspaces = [`a${run}`, `b${run}`];
    return fc.record({ steps: history(workspaces), workspaces: fc.constant(workspaces) });
  });
  const property = fc.asyncProperty(histories, async ({ steps, workspaces }) => {
    const events = await write(ground, steps, { pausing: true });
    for (const workspace of workspaces)
      for (const test of [false, true]) for (const check of checks) await check(events, { workspace, test });
  });
  await fc.assert(property, { numRuns: 8, endOnFailure: true, interruptAfterTimeLimit: 30_000 });
}

const HOUR = 3_600_000;
const ms = (time: number | undefined) => (time === undefined ? undefined : timestampFromMs(time));
const narrowings: Omit<plain.Asked, "workspace" | "test">[] = [
  {},
  { linkId: "link_1" },
  { linkId: "link_9" },
  { device: "d1" },
  { device: "'; DROP TABLE events; --" },
  { linkId: "link_2", device: "d4\u0000é" },
  { start: NOW - 5 * HOUR, end: NOW - 2 * HOUR },
  { end: NOW - 3 * HOUR, linkId: "link_1" },
  { start: NOW - 40 * 24 * HOUR },
];

async function allEvents(asked: plain.Asked, pageSize: number) {
  const request = {
    linkId: asked.linkId,
    visitorId: asked.device === undefined ? undefined : `vis_${asked.device}`,
    startDate: ms(asked.start),
    endDate: ms(asked.end),
    include: ["device", "visitor"],
    pageSize,
  };
  const events = [];
  const totals = new Set<bigint>();
  for (let pageToken = ""; ; ) {
    const { json } = await ground.api.listEvents({ ...request, pageToken }, ground.by(asked));
    events.push(...(json?.events ?? []));
    totals.add(json?.totalCount ?? -1n);
    expect(json?.hasMore).toBe(json?.nextPageToken !== "");
    if (!json?.hasMore) return { events, totals: [...totals] };
    expect(json.events).toHaveLength(pageSize);
    pageToken = json.nextPageToken;
  }
}

async function checkEvents(all: plain.Event[], key: plain.Asked): Promise<void> {
  const visible = plain.seen(all, key);
  for (const [index, narrow] of narrowings.entries()) {
    const wanted = plain.seen(all, { ...key, ...narrow }).toReversed();
    const { events, totals } = await allEvents({ ...key, ...narrow }, 2 + ((index * 7) % 11));
    expect(totals).toEqual([BigInt(wanted.length)]);
    expect(events.map((event) => toJson(EventSchema, event))).toEqual(
      wanted.map((event) => plain.eventJson(event, visible)),
    );
  }
}

async function checkMetrics(all: plain.Event[], key: plain.Asked): Promise<void> {
  for (const { device, ...narrow } of narrowings.filter((one) => one.device === undefined)) {
    const events = plain.seen(all, { ...key, ...narrow });
    const known = (of: (event: plain.Event) => unknown) =>
      events.map((event) => String(of(event) || "")).filter(Boolean);
    const countries = known(({ touch }) => touch.place?.country);
    const cities = known(({ touch }) => touch.place?.city);
    const kinds = known(({ touch }) => touch.device?.type);
    const topKind = plain.top(kinds);
    const request = { linkId: narrow.linkId, startDate: ms(narrow.start), endDate: ms(narrow.end) };
    const reply = await ground.api.getEventMetrics(request, ground.by(key));
    const { totalEvents, totalCountries, totalCities, totalDeviceTypes, topCountry, topCity } = reply;
    const sizes = [countries, cities, kinds].map((values) => new Set(values).size);
    expect([totalEvents, totalCountries, totalCities, totalDeviceTypes]).toEqual([events.length, ...sizes]);
    expect([topCountry ?? "", topCity ?? ""]).toEqual([plain.top(countries) ?? "", plain.top(cities) ?? ""]);
    expect(reply.topDeviceType || undefined).toBe(topKind && plain.KINDS[Number(topKind)]);
    expect([reply.firstAt, reply.lastAt]).toEqual([ms(events[0]?.at), ms(events.at(-1)?.at)]);
  }
}

const spans: [start: number, end: number, minutes: number | undefined][] = [
  [NOW - 14 * HOUR, NOW, 60],
  [NOW - 3 * HOUR, NOW - HOUR, 7],
  [NOW - 59 * 24 * HOUR - 1, NOW, undefined],
  [NOW - HOUR, NOW - HOUR, 1],
];

async function checkSeries(all: plain.Event[], key: plain.Asked): Promise<void> {
  for (const [start, end, intervalInMinutes] of spans) {
    const lengthMs = (intervalInMinutes ?? 1_440) * 60_000;
    const linkId = intervalInMinutes === 7 ? "link_1" : undefined;
    const events = plain.seen(all, { ...key, start, end, ...(linkId && { linkId }) });
    const counts = new Map<number, number>();
    for (let at = start; at <= end; at += lengthMs) counts.set(at, 0);
    for (const { at } of events) {
      const slot = start + Math.floor((at - start) / lengthMs) * lengthMs;
      counts.set(slot, (counts.get(slot) ?? 0) + 1);
    }
    const range = { startDate: timestampFromMs(start), endDate: timestampFromMs(end) };
    const { timeSeries } = await ground.api.queryTimeSeries({ ...range, intervalInMinutes, linkId }, ground.by(key));
    const got = timeSeries?.data.map(({ timestamp, eventCount }) => [timestamp && timestampMs(timestamp), eventCount]);
    expect(got).toEqual([...counts]);
    expect([timeSeries?.totalData, timeSeries?.totalIntervals]).toEqual([events.length, counts.size]);
  }
}

const sorts = [
  ["createdAt", (one: plain.VisitorSums) => one.first],
  ["VISITOR_SORT_FIELD_CREATED_AT", (one: plain.VisitorSums) => one.first],
  ["updatedAt", (one: plain.VisitorSums) => one.last],
  ["visitCount", (one: plain.VisitorSums) => one.visits],
  ["qrcodeCount", (one: plain.VisitorSums) => one.links],
  ["VISITOR_SORT_FIELD_DEVICE_COUNT", () => 1],
] as const;

async function checkVisitors(all: plain.Event[], key: plain.Asked): Promise<void> {
  const events = plain.seen(all, key);
  const met = (device: string) => events.some((e) => e.touch.deviceId === device && e.touch.codeId === "link_1");
  for (const [index, [sortField, of]] of sorts.entries()) {
    const [linkId, search] = [index % 2 ? "link_1" : undefined, index % 3 === 2 ? "_D" : undefined];
    const sortDirection = index % 4 === 3 ? SortDirection.ASC : SortDirection.DESC;
    const sign = sortDirection === SortDirection.ASC ? 1 : -1;
    const wanted = plain
      .visitors(events)
      .filter(({ device }) => linkId === undefined || met(device))
      .filter(({ device }) => search === undefined || `vis_${device}`.toLowerCase().includes("_d"))
      .toSorted((a, b) => sign * (of(a) - of(b) || Number(deviceKey(a.device) - deviceKey(b.device))));
    const request = { sortField, sortDirection, linkId, search, pageSize: 1 + (index % 3) };
    const got = [];
    for (let pageToken = "", more = true; more; ) {
      const { json } = await ground.api.listVisitors({ ...request, pageToken }, ground.by(key));
      expect(json?.totalCount).toBe(BigInt(wanted.length));
      got.push(...(json?.visitors ?? []));
      pageToken = json?.nextPageToken ?? "";
      more = json?.hasMore ?? false;
    }
    expect(got.map((visitor) => toJson(VisitorSchema, visitor))).toEqual(wanted.map(plain.visitorJson));
  }
}

it("answers events, visitors, metrics and series as plain code counts them from the same touches", async () => {
  await overHistories(checkEvents, checkVisitors, checkMetrics, checkSeries);
}, 90_000);
