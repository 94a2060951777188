import { expect, it } from "vitest";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { dialects } from "../dialects/table.ts";
import { compileRoutes, type Route } from "../routes.ts";
import { readInTurns } from "./slices.ts";

const table = compileRoutes([ScanService], dialects);
const match = table.match("POST", "/v1/scans");
const route = (match.kind === "route" ? match.route : undefined) as Route;

/** Some megabytes of lines, among them blank and broken ones. */
const lines = Array.from({ length: 40_000 }, (_, index) => {
  if (index % 9_000 === 17) return "{broken";
  if (index % 7_000 === 3) return "";
  return JSON.stringify({ id: `s${index}`, qpr_code_id: "qpr_1", metadata: { text: "ü".repeat(20) } });
});
const input = { params: [], query: "", body: Buffer.from(lines.join("\n")), contentType: "application/x-ndjson" };

it("reads a long body of lines in turns as it would be read at once", async () => {
  expect(await readInTurns(route, input)).toEqual(route.read(input));
});

it("lets others have their turn in between", async () => {
  let turns = 0;
  const reading = readInTurns(route, input);
  const count = () => {
    turns += 1;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  await reading;
  clearImmediate(timer);
  expect(turns).toBeGreaterThan(5);
});
