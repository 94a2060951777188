import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { overScans, type Scan } from "../aggregates/test-scans.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

/** Of its device and link the first of all, whenever the question begins; of the same time the one that arrived first. */
function visitTypeOf(scan: Scan, all: readonly Scan[]): string | null {
  if (scan.device === "") return null;
  const same = all.filter(({ device, link }) => device === scan.device && link === scan.link);
  return same.toSorted((a, b) => a.at - b.at)[0] === scan ? "VISIT_TYPE_FIRST" : "VISIT_TYPE_RETURNING";
}

const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
const byId = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).toSorted();

it("whether a visit is the first is decided by all that there is, whatever narrows the question", {
  timeout: 60_000,
}, async () => {
  const [start, end] = [NOW - 40 * 86_400_000, NOW - 3_600_000];
  const range = { startDate: timestampFromMs(start), endDate: timestampFromMs(end) };
  await overScans(ground, {
    numRuns: 12,
    check: async ({ by, people }) => {
      const query = (request: object) => ground.client(QueryService).query(request, by);
      const typed = people.map((scan) => ({ scan, visitType: visitTypeOf(scan, people) }));
      for (const [asked, some] of [
        [{}, typed],
        [range, typed.filter(({ scan }) => scan.at >= start && scan.at <= end)],
      ] as const) {
        const single = await query({ ...asked, fields: ["id", "visitType"], limit: 100 });
        expect(byId(single.rows)).toEqual(byId(some.map(({ scan, visitType }) => ({ id: scan.id, visitType }))));
        const grouped = await query({ ...asked, groupBy: ["visitType"] });
        const groups = [...Map.groupBy(some, ({ visitType }) => visitType)];
        expect(byId(grouped.rows)).toEqual(
          byId(groups.map(([visitType, { length: count }]) => ({ visitType, count }))),
        );
        // A condition on something else leaves out the first visits of others, and makes no other the first.
        const where = [
          { field: "visitType", value: text("FIRST") },
          { field: "country", op: Operator.NOT_EQUALS, value: text("DE") },
        ];
        const firsts = some.filter(({ scan, visitType }) => visitType === "VISIT_TYPE_FIRST" && scan.country !== "DE");
        const left = await query({ ...asked, where, groupBy: ["visitType", "linkId"] });
        expect(left.totalCount).toBe(BigInt(firsts.length));
        expect(left.rows.every(({ visitType }) => visitType === "VISIT_TYPE_FIRST")).toBe(true);
      }
    },
  });
});
