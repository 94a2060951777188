import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Action, DeviceActor, SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import * as plain from "./test-answers.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround, PUBLIC_URL } from "./test-ground.ts";
import { entriesOf, history, type Step } from "./test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

/** Writes a history, sometimes waiting for the feed in between. */
async function write(steps: readonly Step[]): Promise<plain.Event[]> {
  const written: { touches: Step["touches"]; recordedAt: number }[] = [];
  for (const step of steps) {
    for (const touches of entriesOf(step)) {
      const recordedAt = NOW + written.length;
      await ground.append(touches, recordedAt);
      written.push({ touches, recordedAt });
    }
    if (step.pause) await ground.settle();
  }
  await ground.settle();
  return plain.counted(written);
}

let run = 0;

/** Runs a check over random histories, each in workspaces of its own; all stand in one table. */
async function overHistories(check: (events: plain.Event[], asked: plain.Asked) => Promise<void>): Promise<void> {
  const steps = fc.nat().chain(() => {
    run += 1;
    const workspaces = [`a${run}`, `b${run}`];
    return fc.record({ steps: history(workspaces), workspaces: fc.constant(workspaces) });
  });
  const property = fc.asyncProperty(steps, async ({ steps: all, workspaces }) => {
    const events = await write(all);
    for (const workspace of workspaces) for (const test of [false, true]) await check(events, { workspace, test });
  });
  await fc.assert(property, { numRuns: 15, endOnFailure: true });
}

const ms = (time: number | undefined) => (time === undefined ? undefined : timestampFromMs(time));
const narrowings: Omit<plain.Asked, "workspace" | "test">[] = [
  {},
  { linkId: "link_1" },
  { linkId: "link_9" },
  { device: "d1" },
  { device: "'; DROP TABLE events; --" },
  { linkId: "link_2", device: "d4\u0000é" },
  { start: NOW - 5 * 3_600_000, end: NOW - 2 * 3_600_000 },
  { end: NOW - 3 * 3_600_000, linkId: "link_1" },
  { start: NOW - 40 * 86_400_000 },
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

function expectedEvent(event: plain.Event, all: readonly plain.Event[]) {
  const { touch, at, recordedAt } = event;
  const visitorId = touch.deviceId === "" ? undefined : `vis_${touch.deviceId}`;
  return {
    id: touch.id,
    workspaceId: touch.workspaceId,
    linkId: touch.codeId,
    visitorId,
    deviceId: touch.deviceId || undefined,
    action: Action.SCAN,
    visitType: plain.visitType(event, all),
    httpMethod: plain.METHODS[touch.method],
    entrypoint: touch.shortId === "" ? "" : `${PUBLIC_URL}/s/${touch.shortId}`,
    destination: touch.destination || undefined,
    scannedAt: timestampFromMs(at),
    createdAt: timestampFromMs(recordedAt),
    visitor: visitorId === undefined ? undefined : expect.objectContaining({ id: visitorId }),
    device: visitorId === undefined ? undefined : expect.objectContaining(expectedDevice(event)),
    traces: touch.destination === "" ? [] : [expect.objectContaining({ rule: touch.rule || undefined })],
  };
}

function expectedDevice({ touch, at }: plain.Event) {
  const { place, device } = touch;
  return {
    id: touch.deviceId,
    country: place?.country || undefined,
    region: place?.region || undefined,
    state: place?.region || undefined,
    city: place?.city || undefined,
    timezone: place?.timezone || undefined,
    isp: place?.isp || undefined,
    asn: place?.asn ? BigInt(place.asn) : undefined,
    ipAddress: touch.ip || undefined,
    userAgent: touch.userAgent || undefined,
    browserName: device?.browser || undefined,
    platformVersion: device?.platformVersion || undefined,
    deviceBrand: device?.brand || undefined,
    browserLanguage: device?.language || undefined,
    deviceType: plain.KINDS[device?.type ?? 0],
    deviceActor: DeviceActor.HUMAN,
    lastUsedAt: timestampFromMs(at),
  };
}

describe("answers are what plain code counts from the same touches", () => {
  it("for events, walked by pages", async () => {
    await overHistories(async (all, key) => {
      const visible = plain.seen(all, key);
      for (const [index, narrow] of narrowings.entries()) {
        const wanted = plain.seen(all, { ...key, ...narrow }).toReversed();
        const { events, totals } = await allEvents({ ...key, ...narrow }, 1 + ((index * 7) % 11));
        expect(totals).toEqual([BigInt(wanted.length)]);
        expect(events).toEqual(wanted.map((event) => expect.objectContaining(expectedEvent(event, visible))));
      }
    });
  });

  it("for metrics", async () => {
    await overHistories(async (all, key) => {
      for (const { device, ...narrow } of narrowings) {
        if (device !== undefined) continue;
        const events = plain.seen(all, { ...key, ...narrow });
        const known = (of: (event: plain.Event) => string | undefined) =>
          events.map((e) => of(e) || "").filter(Boolean);
        const countries = known(({ touch }) => touch.place?.country);
        const cities = known(({ touch }) => touch.place?.city);
        const kinds = known(({ touch }) => (touch.device?.type ? String(touch.device.type) : ""));
        const topKind = plain.top(kinds);
        const request = { linkId: narrow.linkId, startDate: ms(narrow.start), endDate: ms(narrow.end) };
        const reply = await ground.api.getEventMetrics(request, ground.by(key));
        expect(reply).toMatchObject({
          totalEvents: events.length,
          totalCountries: new Set(countries).size,
          totalCities: new Set(cities).size,
          totalDeviceTypes: new Set(kinds).size,
        });
        expect([reply.topCountry, reply.topCity]).toEqual([plain.top(countries), plain.top(cities)]);
        expect(reply.topDeviceType).toBe(topKind === undefined ? undefined : plain.KINDS[Number(topKind)]);
        expect([reply.firstAt, reply.lastAt]).toEqual([ms(events[0]?.at), ms(events.at(-1)?.at)]);
      }
    });
  });

  it("for time series", async () => {
    const spans: [number, number, number | undefined][] = [
      [NOW - 14 * 3_600_000, NOW, 60],
      [NOW - 3 * 3_600_000, NOW - 3_600_000, 7],
      [NOW - 59 * 86_400_000 - 1, NOW, undefined],
      [NOW - 3_600_000, NOW - 3_600_000, 1],
    ];
    await overHistories(async (all, key) => {
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
        const { timeSeries } = await ground.api.queryTimeSeries(
          { ...range, intervalInMinutes, linkId },
          ground.by(key),
        );
        const got = timeSeries?.data.map(({ timestamp, eventCount }) => [
          timestamp && timestampMs(timestamp),
          eventCount,
        ]);
        expect(got).toEqual([...counts]);
        expect(timeSeries).toMatchObject({ totalData: events.length, totalIntervals: counts.size });
      }
    });
  });
});

const sorts = [
  ["createdAt", (one: plain.VisitorSums) => one.first],
  ["VISITOR_SORT_FIELD_CREATED_AT", (one: plain.VisitorSums) => one.first],
  ["updatedAt", (one: plain.VisitorSums) => one.last],
  ["visitCount", (one: plain.VisitorSums) => one.visits],
  ["qrcodeCount", (one: plain.VisitorSums) => one.links],
  ["VISITOR_SORT_FIELD_DEVICE_COUNT", () => 1],
] as const;

describe("visitors are what plain code counts from the same touches", () => {
  it("in each order, walked by pages, by link and by part of the id", async () => {
    await overHistories(async (all, key) => {
      const events = plain.seen(all, key);
      const met = (device: string) => events.some((e) => e.touch.deviceId === device && e.touch.codeId === "link_1");
      for (const [index, [sortField, of]] of sorts.entries()) {
        const [linkId, search] = [index % 2 ? "link_1" : undefined, index % 3 === 2 ? "_D" : undefined];
        const direction = index % 4 === 3 ? SortDirection.ASC : SortDirection.DESC;
        const sign = direction === SortDirection.ASC ? 1 : -1;
        const wanted = plain
          .visitors(events)
          .filter(({ device }) => linkId === undefined || met(device))
          .filter(({ device }) => search === undefined || `vis_${device}`.toLowerCase().includes("_d"))
          .toSorted((a, b) => sign * (of(a) - of(b) || Buffer.compare(Buffer.from(a.device), Buffer.from(b.device))));
        const request = { sortField, sortDirection: direction, linkId, search, pageSize: 1 + (index % 3) };
        const got = [];
        for (let pageToken = "", more = true; more; ) {
          const { json } = await ground.api.listVisitors({ ...request, pageToken }, ground.by(key));
          expect(json?.totalCount).toBe(BigInt(wanted.length));
          got.push(...(json?.visitors ?? []));
          pageToken = json?.nextPageToken ?? "";
          more = json?.hasMore ?? false;
        }
        expect(got.map(({ id }) => id)).toEqual(wanted.map(({ device }) => `vis_${device}`));
        expect(got).toMatchObject(
          wanted.map(({ visits, links, first, last }) => ({
            visitCount: BigInt(visits),
            qrcodeCount: BigInt(links),
            deviceCount: 1n,
            createdAt: timestampFromMs(first),
            updatedAt: timestampFromMs(last),
          })),
        );
      }
    });
  });
});
