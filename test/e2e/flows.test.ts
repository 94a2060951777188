import { afterAll, beforeAll, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Flows"));
});
afterAll(() => waymark.stop());

async function post(path: string, body: unknown) {
  const answer = await waymark.call("POST", path, { key, body });
  expect([path, answer.status < 300]).toEqual([path, true]);
  return answer.body;
}

it("a program's funnel narrows from impressions to what was verified, in all and by poster, student and day", async () => {
  await post("/api/v1/programs", { id: "prog", name: "P", landing_url: "https://example.com" });
  const person = { first_name: "Ada", last_name: "L", email: "ada@example.com" };
  await post("/api/v1/users", { id: "ada", ...person, program_id: "prog" });
  for (const id of ["p1", "p2"])
    await post("/api/v1/posters", { id, program_id: "prog", student_id: "ada", location: `at ${id}` });
  const at = (day: number) => `2026-11-0${day}T12:00:00Z`;
  const impressions = [
    { id: "i1", poster_id: "p1", scanned_at: at(1) },
    { id: "i2", poster_id: "p1", scanned_at: at(1) },
    { id: "i3", poster_id: "p1", scanned_at: at(3) },
    { id: "i4", poster_id: "p2", scanned_at: at(3) },
  ];
  await post("/api/v1/impressions", { impressions });
  await waymark.idle();
  const friend = { first_name: "Bo", last_name: "B", email: "bo@example.com" };
  await post("/api/v1/referrals", { id: "r1", impression_id: "i1", ...friend });
  await post("/api/v1/referrals", { id: "r2", impression_id: "i4", ...friend, email: "cy@example.com" });
  await waymark.call("PUT", "/api/v1/referrals/r2", { key, body: { status: "verified" } });
  await post("/api/v1/earnings", { id: "e1", referral_id: "r2", amount: 500, currency: "EUR" });
  const funnel = async (query: string) =>
    (await waymark.call("GET", `/api/v1/programs/prog/funnel${query}`, { key })).body;
  await eventually(async () => expect((await funnel("")).impressions).toBe(4));
  expect(await funnel("")).toMatchObject({
    ...{ program_id: "prog", impressions: 4, referrals: 2, verified: 1, converted: 0 },
    ...{
      referral_rate: 50,
      verification_rate: 50,
      overall_rate: 25,
      earnings: [{ currency: "EUR", amount: 500, count: 1 }],
    },
  });
  const rows = (body: { groups: Record<string, unknown>[] }) =>
    body.groups.map(({ key: of, impressions: n, referrals }) => [of, n, referrals]);
  expect(rows(await funnel("?by=poster"))).toEqual([
    ["p1", 3, 1],
    ["p2", 1, 1],
  ]);
  expect(rows(await funnel("?by=student"))).toEqual([["ada", 4, 2]]);
  expect(rows(await funnel("?by=day"))).toEqual([
    ["2026-11-01", 2, 1],
    ["2026-11-02", 0, 0],
    ["2026-11-03", 2, 1],
  ]);
  expect(rows(await funnel("?by=poster&since=2026-11-02"))).toEqual([
    ["p1", 1, 0],
    ["p2", 1, 1],
  ]);
  const wrong = await waymark.call("GET", "/api/v1/programs/prog/funnel?by=moon", { key });
  expect([wrong.status, wrong.body.message]).toEqual([400, expect.stringContaining("by")]);
  expect((await waymark.call("GET", "/api/v1/programs/none/funnel", { key })).status).toBe(404);
});

it("the flow of an experience tells order, dwell and where visitors are lost", async () => {
  await post("/v3/experiences", { id: "exp", name: "E", value: "e" });
  for (const id of ["a", "b", "c"])
    await post("/v3/touchpoints", { id, experienceId: "exp", name: id.toUpperCase(), value: id });
  const visit = (touchpointId: string, userId: string, minute: number) => ({
    ...{ touchpointId, userId, timestampUTC: `2026-11-01T10:${String(minute).padStart(2, "0")}:00Z` },
  });
  const scans = [
    visit("a", "u1", 0),
    visit("b", "u1", 10),
    visit("c", "u1", 30),
    visit("a", "u2", 5),
    visit("b", "u2", 25),
    visit("a", "u3", 1),
  ];
  await post("/v3/touchpoint/scans", { scans });
  await waymark.idle();
  const flow = (query: string) => waymark.call("GET", `/v3/touchpoint/flow${query}`, { key });
  await eventually(async () => expect((await flow("?experienceId=exp")).body.data.totalVisits).toBe(6));
  const { data } = (await flow("?experienceId=exp")).body;
  expect(data).toMatchObject({ experienceId: "exp", totalUsers: 3 });
  const stops = data.touchpoints.map((stop: Record<string, unknown>) => [
    stop.id,
    stop.totalVisits,
    stop.entries,
    stop.drops,
  ]);
  expect(stops).toEqual([
    ["a", 3, 3, 1],
    ["b", 2, 0, 1],
    ["c", 1, 0, 1],
  ]);
  const hops = data.transitions.map((hop: Record<string, never>) => [hop.from, hop.to, hop.count]);
  expect(hops).toEqual([
    ["a", "b", 2],
    ["b", "c", 1],
  ]);
  expect(data.touchpoints[0].dwell).toMatchObject({ count: 2, averageSeconds: 900 });
  expect(await flow("")).toMatchObject({
    status: 400,
    body: { statusCode: 400, message: "Missing required parameter: experienceId" },
  });
  expect(await flow("?experienceId=none")).toMatchObject({ status: 404, body: { message: "Experience not found" } });
});
