import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { ExportService, ExportStatus } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { JourneyService } from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { type AnalyticsGround, openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

const SHOP = "https://shop.example/?a=1";
const MENU = "https://example.com/menu#top";
const lbid = (id: string) => Buffer.from(id).toString("base64url");

/** Where each event was sent: two places, one of them told which scan it was in either way that there is, and one beside them. */
const SENT: Readonly<Record<string, string>> = {
  e1: `${SHOP}&lbid=${lbid("e1")}`,
  e2: `${SHOP}&lbid=${lbid("e2")}`,
  e3: `${SHOP}&impression_id=e3`,
  e4: SHOP,
  e5: `https://example.com/menu?lbid=${lbid("e5")}#top`,
  e6: MENU,
  e7: `${SHOP}&lbid=${lbid("e1")}`, // it says another scan than it was
  e8: "",
};
const PLACES: readonly [string | null, number][] = [
  [SHOP, 4],
  [MENU, 2],
  [SENT.e7 ?? "", 1],
  [null, 1],
];

let folder: string;
let ground: AnalyticsGround;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-destinations-"));
  ground = await openAnalyticsGround({ folder });
  await ground.append(
    Object.entries(SENT).map(([id, destination]) => touchOf({ id, deviceId: "d", destination, method: "GET" })),
  );
  await ground.settle();
});
afterAll(async () => {
  await ground.close();
  rmSync(folder, { recursive: true });
});

const query = (request: object) => ground.client(QueryService).query(request, ground.by());
const sentTo = (place: string, op: Operator = Operator.EQUALS) => [
  { field: "destination", op, value: { kind: { case: "stringValue" as const, value: place } } },
];

describe("a place is one destination, whichever scan it was told", () => {
  it("in groups, and when different ones are counted", async () => {
    const select = [{ fn: "count", as: "n" }];
    const { rows } = await query({ groupBy: ["destination"], select });
    expect(rows.map(({ destination, n }) => [destination, n])).toEqual(expect.arrayContaining([...PLACES]));
    expect(rows).toHaveLength(PLACES.length);
    const counted = await query({ select: [{ fn: "countUnique", field: "destination", as: "n" }] });
    expect(counted.rows).toEqual([{ n: 3 }]);
  });

  it("as it is in the breakdown", async () => {
    const { data } = await ground.client(AggregateService).queryBreakdown({ dimension: "destination" }, ground.by());
    expect(data.map(({ code, eventCount }) => [code || null, eventCount])).toEqual(expect.arrayContaining([...PLACES]));
  });

  it("in conditions, and single rows say what they compare", async () => {
    const fields = ["id", "destination"];
    const { rows } = await query({ fields, where: sentTo(SHOP), orderBy: [{ field: "id" }] });
    expect(rows).toEqual(["e1", "e2", "e3", "e4"].map((id) => ({ id, destination: SHOP })));
    expect((await query({ where: sentTo("lbid", Operator.CONTAINS) })).totalCount).toBe(1n);
    expect((await query({ where: sentTo(SHOP, Operator.NOT_EQUALS) })).totalCount).toBe(4n);
  });

  it("in the conditions of other questions", async () => {
    const asked = { where: sentTo(MENU), explain: true };
    const { explanation } = await ground.client(JourneyService).analyzeJourneys(asked, ground.by());
    expect(explanation?.considered).toBe(2n);
  });

  it("in the conditions of an export, which has the address as it was sent", async () => {
    const api = ground.client(ExportService);
    const asked = { format: "NDJSON", compression: "NONE", where: sentTo(SHOP), fields: ["id", "destination"] };
    const id = (await api.createExport(asked, ground.by())).export?.id ?? "";
    const state = async () => (await api.getExport({ id }, ground.by())).export;
    await until(async () => (await state())?.status === ExportStatus.DONE);
    const name = (await state())?.files[0]?.name ?? "";
    const lines = readFileSync(join(folder, "exports", id, name), "utf8")
      .trimEnd()
      .split("\n");
    expect(lines.map((line) => JSON.parse(line)).toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
      ["e1", "e2", "e3", "e4"].map((one) => ({ id: one, destination: SENT[one] })),
    );
  });
});
