import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ResponseFormat, VisitType } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { TargetSchema } from "#gen/waymark/codes/v1/directory_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround, PUBLIC_URL } from "./test-ground.ts";
import { touchOf } from "./test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const HOUR = 3_600_000;

describe("what is included", () => {
  beforeAll(async () => {
    const target = {
      codeId: "link_1",
      shortId: "abc",
      workspaceId: "inc",
      name: "Menu",
      destination: "https://a.example",
    };
    ground.targets.push(create(TargetSchema, target));
    const visit = (id: string, given: { at: number; codeId: string; deviceId?: string; city?: string }) =>
      touchOf({
        workspaceId: "inc",
        id,
        deviceId: given.deviceId ?? "d1",
        place: { city: given.city ?? "" },
        ...given,
      });
    await ground.append([
      visit("e1", { codeId: "link_1", at: NOW - 5 * HOUR, city: "Rome" }),
      visit("e2", { codeId: "link_1", at: NOW - 4 * HOUR, city: "Bonn" }),
      visit("e3", { codeId: "link_gone", at: NOW - 3 * HOUR, city: "Kiel" }),
      visit("e4", { codeId: "link_1", at: NOW - 2 * HOUR, deviceId: "d2" }),
      visit("e5", { codeId: "link_1", at: NOW - HOUR, deviceId: "" }),
    ]);
    await ground.settle();
  });
  const key = () => ground.by({ workspace: "inc" });

  it("with an event: link, workspace, visitor, device; nothing when not asked for", async () => {
    const include = ["link", "workspace", "visitor", "device", "leadScore"];
    const { json } = await ground.api.listEvents({ include, visitorId: "vis_d1" }, key());
    const [third, second] = json?.events ?? [];
    expect(second).toMatchObject({
      id: "e2",
      link: { name: "Menu", shortlink: "abc", entrypoint: `${PUBLIC_URL}/s/abc`, destination: "https://a.example" },
      workspace: { id: "inc", name: "Workspace inc" },
      visitor: { id: "vis_d1" },
      device: { id: "d1", city: "Bonn" },
    });
    expect(third?.link).toMatchObject({ id: "link_gone", name: "", shortlink: "", entrypoint: "" });
    const [bare] = (await ground.api.listEvents({}, key())).json?.events ?? [];
    expect([bare?.link, bare?.workspace, bare?.visitor, bare?.device]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("with an event of an unknown device: neither visitor nor device nor visit type", async () => {
    const { json } = await ground.api.listEvents({ include: ["visitor", "device"] }, key());
    const event = json?.events.find(({ id }) => id === "e5");
    expect([event?.visitorId, event?.deviceId, event?.visitor, event?.device]).toEqual(Array(4).fill(undefined));
    expect(event?.visitType || undefined).toBeUndefined();
  });

  it("with a visitor: devices, events with their visit types, links by the latest event", async () => {
    const include = ["devices", "events", "links"];
    const { json } = await ground.api.listVisitors({ include, search: "d1" }, key());
    expect(json?.visitors).toHaveLength(1);
    const [visitor] = json?.visitors ?? [];
    expect(visitor).toMatchObject({ id: "vis_d1", visitCount: 3n, qrcodeCount: 2n, deviceCount: 1n });
    expect(visitor?.devices).toMatchObject([{ id: "d1", city: "Kiel", lastUsedAt: timestampFromMs(NOW - 3 * HOUR) }]);
    expect(visitor?.events.map(({ id, visitType }) => [id, visitType])).toEqual([
      ["e3", VisitType.FIRST],
      ["e2", VisitType.RETURNING],
      ["e1", VisitType.FIRST],
    ]);
    expect(visitor?.links).toMatchObject([
      { id: "link_gone", name: "", eventCount: 1n },
      {
        id: "link_1",
        name: "Menu",
        shortlink: "abc",
        eventCount: 2n,
        firstVisitedAt: timestampFromMs(NOW - 5 * HOUR),
        lastVisitedAt: timestampFromMs(NOW - 4 * HOUR),
      },
    ]);
  });

  it("with a visitor of one link: all that it did, elsewhere too", async () => {
    const { json } = await ground.api.listVisitors({ linkId: "link_gone" }, key());
    expect(json?.visitors).toMatchObject([{ id: "vis_d1", visitCount: 3n, qrcodeCount: 2n }]);
  });

  it("with a visitor: at most its latest 100 events and links, and their right visit types", async () => {
    const visits = Array.from({ length: 260 }, (_, n) =>
      touchOf({ workspaceId: "many", id: `m${n}`, deviceId: "d1", codeId: `link_${n % 130}`, at: NOW - n * 1_000 }),
    );
    await ground.append(visits);
    await ground.settle();
    const request = { include: ["events", "links"] };
    const { json } = await ground.api.listVisitors(request, ground.by({ workspace: "many" }));
    const [visitor] = json?.visitors ?? [];
    expect(visitor).toMatchObject({ visitCount: 260n, qrcodeCount: 130n });
    expect(visitor?.events.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, n) => `m${n}`));
    expect(visitor?.events.every(({ visitType }) => visitType === VisitType.RETURNING)).toBe(true);
    expect(visitor?.links.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, n) => `link_${n}`));
    expect(visitor?.links.every(({ eventCount }) => eventCount === 2n)).toBe(true);
  });
});

describe("a visit", () => {
  it("that comes late and is older becomes the first", async () => {
    const key = ground.by({ workspace: "late" });
    const visit = (id: string, at: number) => touchOf({ workspaceId: "late", id, deviceId: "d", at });
    const types = async () => {
      await ground.settle();
      const { json } = await ground.api.listEvents({}, key);
      return json?.events.map(({ id, visitType }) => [id, visitType]);
    };
    await ground.append([visit("b", NOW - HOUR)]);
    expect(await types()).toEqual([["b", VisitType.FIRST]]);
    await ground.append([visit("a", NOW - 2 * HOUR)]);
    expect(await types()).toEqual([
      ["b", VisitType.RETURNING],
      ["a", VisitType.FIRST],
    ]);
  });
});

describe("of two visits in the same millisecond", () => {
  it("the one that arrived first is the first, whatever their ids", async () => {
    const visit = (id: string) => touchOf({ workspaceId: "tie", id, deviceId: "d", at: NOW });
    await ground.append([visit("m"), visit("z")]);
    await ground.append([visit("a")]);
    await ground.settle();
    const { json } = await ground.api.listEvents({}, ground.by({ workspace: "tie" }));
    expect(json?.events.map(({ id, visitType }) => [id, visitType])).toEqual([
      ["z", VisitType.RETURNING],
      ["m", VisitType.FIRST],
      ["a", VisitType.RETURNING],
    ]);
  });
});

describe("CSV", () => {
  beforeAll(async () => {
    const risky = {
      deviceId: "@SUM(A1)",
      place: { city: 'Springfield, "the" one', country: "US" },
      destination: "=1+1",
    };
    await ground.append([
      touchOf({ workspaceId: "csv", id: "-x", ...risky, at: NOW }),
      touchOf({ workspaceId: "csv", id: "y", at: NOW - HOUR }),
    ]);
    await ground.settle();
  });
  const key = () => ground.by({ workspace: "csv" });
  const responseFormat = ResponseFormat.CSV;

  it("of events has a header, RFC 4180 cells, no formulas, and goes on by pages", async () => {
    const { json, csv } = await ground.api.listEvents({ responseFormat, pageSize: 1 }, key());
    expect(json).toBeUndefined();
    expect(csv).toMatchObject({ contentType: "text/csv", hasMore: true, totalCount: 2n });
    const [header, row, end] = csv?.csvData.split("\r\n") ?? [];
    expect(header?.startsWith("id,scannedAt,createdAt,linkId,visitorId,deviceId,action,visitType,")).toBe(true);
    expect(row).toContain(
      "'-x,2026-11-20T12:00:00.000Z,2026-11-20T12:00:00.000Z,link_1,vis_@SUM(A1),'@SUM(A1),ACTION_SCAN",
    );
    expect(row).toContain(`VISIT_TYPE_FIRST,,'=1+1,US,,"Springfield, ""the"" one",`);
    expect(row?.endsWith("DEVICE_TYPE_UNKNOWN,")).toBe(true);
    expect(end).toBe("");
    const request = { responseFormat, pageSize: 1, pageToken: csv?.nextPageToken };
    const second = (await ground.api.listEvents(request, key())).csv;
    expect(second?.csvData.split("\r\n")[1]).toMatch(/^y,2026-11-20T11:00:00.000Z/);
    expect(second).toMatchObject({ hasMore: false, nextPageToken: "" });
  });

  it("of visitors has their sums", async () => {
    const { csv } = await ground.api.listVisitors({ responseFormat }, key());
    expect(csv?.csvData).toBe(
      "id,email,phone,firstName,lastName,visitCount,deviceCount,qrcodeCount,createdAt,updatedAt\r\n" +
        "vis_@SUM(A1),,,,,1,1,1,2026-11-20T12:00:00.000Z,2026-11-20T12:00:00.000Z\r\n",
    );
  });
});

describe("a question that cannot be answered names its field", () => {
  const [start, end] = [timestampFromMs(NOW - HOUR), timestampFromMs(NOW)];
  const bad = (page: object) => page as never;
  it.each([
    [
      "an unknown include",
      () => ground.api.listEvents({ include: ["device", "everything"] }, ground.by()),
      "include[1]",
    ],
    [
      "an unknown include of visitors",
      () => ground.api.listVisitors({ include: ["device"] }, ground.by()),
      "include[0]",
    ],
    ["a page size of nothing", () => ground.api.listEvents({ pageSize: 0 }, ground.by()), "page_size"],
    ["a negative page size", () => ground.api.listVisitors({ pageSize: -1 }, ground.by()), "page_size"],
    ["an unknown format", () => ground.api.listEvents(bad({ responseFormat: 9 }), ground.by()), "response_format"],
    ["an unknown order", () => ground.api.listVisitors({ sortField: "name" }, ground.by()), "sort_field"],
    [
      "a reversed range of events",
      () => ground.api.listEvents({ startDate: end, endDate: start }, ground.by()),
      "end_date",
    ],
    [
      "a reversed range of metrics",
      () => ground.api.getEventMetrics({ startDate: end, endDate: start }, ground.by()),
      "end_date",
    ],
    [
      "a reversed series",
      () => ground.api.queryTimeSeries({ startDate: end, endDate: start }, ground.by()),
      "end_date",
    ],
    ["a series without an end", () => ground.api.queryTimeSeries({ startDate: start }, ground.by()), "end_date"],
    [
      "a series of too many intervals",
      () => {
        const long = { startDate: timestampFromMs(NOW - 10_000 * 60_000), endDate: end, intervalInMinutes: 1 };
        return ground.api.queryTimeSeries(long, ground.by());
      },
      "interval_in_minutes",
    ],
    [
      "an interval of nothing",
      () => ground.api.queryTimeSeries({ startDate: start, endDate: end, intervalInMinutes: 0 }, ground.by()),
      "interval_in_minutes",
    ],
  ])("%s", async (_name, call, field) => {
    const error = await call().then(
      () => undefined,
      (cause: ConnectError) => cause,
    );
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(error && fieldOf(error)).toBe(field);
  });
});

describe("dates", () => {
  it("are inclusive to the millisecond, and finer ones stay on their side", async () => {
    const key = ground.by({ workspace: "dates" });
    const at = Date.parse("2026-10-31T23:59:59.999Z");
    await ground.append([0, 1, 2].map((ms) => touchOf({ workspaceId: "dates", id: `t${ms}`, at: at + ms })));
    await ground.settle();
    const between = async (startDate: [number, number], endDate: [number, number]) => {
      const [from, to] = [startDate, endDate].map(([ms, nanos]) => {
        const time = timestampFromMs(ms);
        return { seconds: time.seconds, nanos: time.nanos + nanos };
      });
      const { json } = await ground.api.listEvents({ startDate: from, endDate: to }, key);
      const metrics = await ground.api.getEventMetrics({ startDate: from, endDate: to }, key);
      expect(metrics.totalEvents).toBe(json?.events.length);
      return json?.events.map(({ id }) => id);
    };
    expect(await between([at, 0], [at, 0])).toEqual(["t0"]);
    expect(await between([at, 0], [at, 999_999])).toEqual(["t0"]);
    expect(await between([at, 1], [at + 2, 0])).toEqual(["t2", "t1"]);
    expect(await between([at, 1], [at, 2])).toEqual([]);
  });

  it("of a series: the last interval holds the end, and nothing behind it", async () => {
    const at = Date.parse("2026-10-31T23:59:59.999Z");
    const range = { startDate: timestampFromMs(at), endDate: timestampFromMs(at + 1) };
    const { timeSeries } = await ground.api.queryTimeSeries(range, ground.by({ workspace: "dates" }));
    expect(timeSeries).toMatchObject({ data: [{ eventCount: 2 }], totalData: 2, totalIntervals: 1 });
  });
});

describe("nobody is known by address", () => {
  it("so an address finds no visitor", async () => {
    const { json } = await ground.api.listVisitors({ email: "ada@example.com" }, ground.by({ workspace: "inc" }));
    expect(json).toMatchObject({ visitors: [], hasMore: false, nextPageToken: "", totalCount: 0n });
  });
});
