import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

let next = 0;
function id(): string {
  next += 1;
  return `scan_${next}`;
}

describe("pages of events", () => {
  it("show each event that was there once, while others arrive: newer, older, at the same time", async () => {
    const key = ground.by({ workspace: "p1" });
    const touch = (at: number) => touchOf({ workspaceId: "p1", id: id(), deviceId: "d", at });
    const before = Array.from({ length: 23 }, (_, n) => touch(NOW - Math.floor(n / 3) * 1_000));
    await ground.append(before);
    await ground.settle();
    const got: string[] = [];
    for (let pageToken = "", more = true; more; ) {
      const { json } = await ground.api.listEvents({ pageSize: 4, pageToken }, key);
      expect(json?.totalCount).toBe(23n);
      got.push(...(json?.events.map((event) => event.id) ?? []));
      await ground.append([touch(NOW + 500), touch(NOW - 2_000), touch(NOW - 900_000)]);
      await ground.settle();
      pageToken = json?.nextPageToken ?? "";
      more = json?.hasMore ?? false;
    }
    expect(got.toSorted()).toEqual(before.map((one) => one.id).toSorted());
    const { json } = await ground.api.listEvents({ pageSize: 1 }, key);
    expect(json?.totalCount).toBe(BigInt(23 + 3 * 6));
  });

  it("go on with another page size, and end without a token when the last page is full", async () => {
    const key = ground.by({ workspace: "p2" });
    await ground.append(Array.from({ length: 6 }, () => touchOf({ workspaceId: "p2", id: id() })));
    await ground.settle();
    const first = await ground.api.listEvents({ pageSize: 2 }, key);
    const rest = await ground.api.listEvents({ pageSize: 4, pageToken: first.json?.nextPageToken }, key);
    expect(rest.json).toMatchObject({ hasMore: false, nextPageToken: "", totalCount: 6n });
    expect(rest.json?.events).toHaveLength(4);
  });

  it("hold at most 1,000, whatever is asked for, and 100 when nothing is", async () => {
    const key = ground.by({ workspace: "p3" });
    await ground.append(Array.from({ length: 1_003 }, () => touchOf({ workspaceId: "p3", id: id() })));
    await ground.settle();
    const sizeOf = async (pageSize?: number) => (await ground.api.listEvents({ pageSize }, key)).json?.events.length;
    expect([await sizeOf(), await sizeOf(1_000), await sizeOf(1_001), await sizeOf(2_000_000)]).toEqual([
      100, 1_000, 1_000, 1_000,
    ]);
  });
});

describe("pages of visitors", () => {
  const sorts = ["createdAt", "updatedAt", "visitCount", "qrcodeCount"];
  const cases = sorts.flatMap((sort) =>
    [SortDirection.ASC, SortDirection.DESC].map((direction) => ({ sort, direction })),
  );

  it.each(cases)(
    "show each visitor once by $sort ($direction), though they come again",
    async ({ sort, direction }) => {
      const workspaceId = `v-${sort}-${direction}`;
      const key = ground.by({ workspace: workspaceId });
      const visit = (device: number, given: { at: number; codeId?: string }) =>
        touchOf({ workspaceId, id: id(), deviceId: `d${device}`, ...given });
      await ground.append(
        Array.from({ length: 30 }, (_, n) =>
          visit(n % 9, { at: NOW - n * 1_000, codeId: `link_${n % (1 + (n % 4))}` }),
        ),
      );
      await ground.settle();
      const got: string[] = [];
      for (let pageToken = "", more = true; more; ) {
        const request = { sortField: sort, sortDirection: direction, pageSize: 2, pageToken };
        const { json } = await ground.api.listVisitors(request, key);
        expect(json?.totalCount).toBe(9n);
        got.push(...(json?.visitors.map((visitor) => visitor.id) ?? []));
        await ground.append(
          Array.from({ length: 11 }, (_, n) => visit(n, { at: NOW - n * 99_000, codeId: `link_${n}` })),
        );
        await ground.settle();
        pageToken = json?.nextPageToken ?? "";
        more = json?.hasMore ?? false;
      }
      expect(got.toSorted()).toEqual(Array.from({ length: 9 }, (_, n) => `vis_d${n}`));
    },
  );

  it("hold at most 200, whatever is asked for, and 50 when nothing is", async () => {
    const key = ground.by({ workspace: "v200" });
    await ground.append(
      Array.from({ length: 203 }, (_, n) => touchOf({ workspaceId: "v200", id: id(), deviceId: `d${n}` })),
    );
    await ground.settle();
    const sizeOf = async (pageSize?: number) =>
      (await ground.api.listVisitors({ pageSize }, key)).json?.visitors.length;
    expect([await sizeOf(), await sizeOf(200), await sizeOf(5_000)]).toEqual([50, 200, 200]);
  });
});

describe("a page token", () => {
  beforeAll(async () => {
    const some = (workspaceId: string) =>
      Array.from({ length: 3 }, (_, n) => touchOf({ workspaceId, id: id(), deviceId: `d${n}` }));
    for (const workspaceId of ["t1", "t2"]) await ground.append(some(workspaceId));
    await ground.settle();
  });
  const refusal = (call: Promise<unknown>) =>
    call.then(
      () => "taken",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );
  const refused = [Code.InvalidArgument, "page_token"];
  const seal = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString("base64url");

  it.each([
    ["garbage", () => "garbage"],
    ["what is no JSON", () => "////"],
    ["null", () => seal(null)],
    ["a number", () => seal(7)],
    ["too short a list", (parts: unknown[]) => seal(parts.slice(0, 4))],
    ["another question", (parts: unknown[]) => seal(["x", ...parts.slice(1)])],
    ["a key that is no whole number", (parts: unknown[]) => seal([parts[0], 1.5, ...parts.slice(2)])],
    ["a key that is a text", (parts: unknown[]) => seal([parts[0], "1", ...parts.slice(2)])],
    ["an id that is a number", (parts: unknown[]) => seal([...parts.slice(0, 2), 1, ...parts.slice(3)])],
    ["a position that is none", (parts: unknown[]) => seal([...parts.slice(0, 3), null, parts[4]])],
    ["a total that is too large", (parts: unknown[]) => seal([...parts.slice(0, 4), 1e300])],
    ["a cut one", (parts: unknown[]) => seal(parts).slice(0, -3)],
    ["far too long a one", (parts: unknown[]) => seal([...parts.slice(0, 2), "x".repeat(100_000), ...parts.slice(3)])],
  ])("that is %s is refused", async (_name, make) => {
    const key = ground.by({ workspace: "t2" });
    const { json } = await ground.api.listEvents({ pageSize: 1 }, key);
    const parts = JSON.parse(Buffer.from(json?.nextPageToken ?? "", "base64url").toString()) as unknown[];
    expect(await refusal(ground.api.listEvents({ pageSize: 1, pageToken: seal(parts) }, key))).toBe("taken");
    expect(await refusal(ground.api.listEvents({ pageToken: make(parts) }, key))).toEqual(refused);
  });

  it.each(["", "x", "1.5", "0x10", "9".repeat(19), "9".repeat(400), "12 "])(
    "of visitors that ends at the device %j is refused",
    async (device) => {
      const key = ground.by({ workspace: "t1" });
      const token = (await ground.api.listVisitors({ pageSize: 1 }, key)).json?.nextPageToken ?? "";
      const parts = JSON.parse(Buffer.from(token, "base64url").toString()) as unknown[];
      const pageToken = seal([...parts.slice(0, 2), device, ...parts.slice(3)]);
      expect(await refusal(ground.api.listVisitors({ pageToken }, key))).toEqual(refused);
    },
  );

  it("of another question, list, workspace or kind of key is refused", async () => {
    const key = ground.by({ workspace: "t1" });
    const events = (await ground.api.listEvents({ pageSize: 1 }, key)).json?.nextPageToken;
    const visitors = (await ground.api.listVisitors({ pageSize: 1 }, ground.by({ workspace: "t1" }))).json
      ?.nextPageToken;
    const questions = [
      ground.api.listEvents({ pageToken: events, linkId: "link_1" }, key),
      ground.api.listEvents({ pageToken: events, visitorId: "vis_d" }, key),
      ground.api.listEvents({ pageToken: events, endDate: { seconds: 1_900_000_000n, nanos: 0 } }, key),
      ground.api.listEvents({ pageToken: events }, ground.by({ workspace: "t2" })),
      ground.api.listEvents({ pageToken: events }, ground.by({ workspace: "t1", test: true })),
      ground.api.listEvents({ pageToken: visitors }, ground.by({ workspace: "t1" })),
      ground.api.listVisitors({ pageToken: events }, key),
      ground.api.listVisitors({ pageToken: visitors, search: "d" }, ground.by({ workspace: "t1" })),
      ground.api.listVisitors({ pageToken: visitors, sortField: "visitCount" }, ground.by({ workspace: "t1" })),
      ground.api.listVisitors(
        { pageToken: visitors, sortDirection: SortDirection.ASC },
        ground.by({ workspace: "t1" }),
      ),
      ground.api.listVisitors({ pageToken: visitors, linkId: "link_1" }, ground.by({ workspace: "t1" })),
      ground.api.listVisitors({ pageToken: visitors, email: "a@b.example" }, ground.by({ workspace: "t1" })),
    ];
    expect(await Promise.all(questions.map(refusal))).toEqual(questions.map(() => refused));
  });

  it("of a development key still fits when time has gone on", async () => {
    const at = NOW - 29 * 86_400_000;
    await ground.append(Array.from({ length: 3 }, () => touchOf({ workspaceId: "t3", id: id(), test: true, at })));
    await ground.settle();
    const key = ground.by({ workspace: "t3", test: true });
    const first = await ground.api.listEvents({ pageSize: 2 }, key);
    ground.clock.now += 60_000;
    const second = await ground.api.listEvents({ pageToken: first.json?.nextPageToken }, key);
    ground.clock.now -= 60_000;
    expect(second.json?.events).toHaveLength(1);
  });
});
