import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });

beforeAll(async () => {
  waymark = await startWaymark();
});
beforeEach(async () => {
  key = (await waymark.workspace("Experiences")).key;
});
afterAll(() => waymark?.stop());

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

it("an experience and its touchpoints are made in the API's own words", async () => {
  const made = await send("POST", "/v3/experiences", { id: "47Gop5", name: "Cup", value: "experience-2024" });
  expect([made.status, made.body]).toStrictEqual([
    200,
    {
      statusCode: 200,
      message: "Experience created successfully",
      data: { id: "47Gop5", name: "Cup", value: "experience-2024", createdAt: expect.stringMatching(TIME) },
    },
  ]);
  const sent = { id: "tp-1", experienceId: "47Gop5", name: "Entry Scan", value: "entry_scan" };
  const point = await send("POST", "/v3/touchpoints", sent);
  expect([point.status, point.body]).toStrictEqual([
    200,
    {
      statusCode: 200,
      message: "Touchpoint created successfully",
      data: { ...sent, createdAt: expect.stringMatching(TIME) },
    },
  ]);
});

it("a taken id or value is 409", async () => {
  const body = { id: "e", name: "E", value: "e-value" };
  await send("POST", "/v3/experiences", body);
  for (const taken of [
    { ...body, value: "other" },
    { ...body, id: "other" },
  ]) {
    const answer = await send("POST", "/v3/experiences", taken);
    expect([answer.status, answer.body.statusCode]).toEqual([409, 409]);
  }
  const point = { id: "t", experienceId: "e", name: "T", value: "t-value" };
  await send("POST", "/v3/touchpoints", point);
  for (const taken of [
    { ...point, value: "other" },
    { ...point, id: "other" },
  ])
    expect((await send("POST", "/v3/touchpoints", taken)).status).toBe(409);
  await send("POST", "/v3/experiences", { id: "e2", name: "E2", value: "e2" });
  expect((await send("POST", "/v3/touchpoints", { ...point, id: "t2", experienceId: "e2" })).status).toBe(200);
});

it("of many that are made at once with one value, one is made", async () => {
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => send("POST", "/v3/experiences", { id: `e${n}`, name: "E", value: "same" })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 409)]);
  expect((await send("GET", "/v3/experiences")).body.data.totalExperiences).toBe(1);
});

it("they are listed in order of creation, by pages", async () => {
  for (const id of ["c", "a", "b"]) await send("POST", "/v3/experiences", { id, name: id, value: id });
  const { body } = await send("GET", "/v3/experiences?pageSize=2&offset=1");
  expect(body.data).toMatchObject({ totalExperiences: 3, pagination: { offset: 1, pageSize: 2 } });
  expect(body.data.experiences.map(({ id }: { id: string }) => id)).toEqual(["a", "b"]);
  for (const id of ["z", "y"]) await send("POST", "/v3/touchpoints", { id, experienceId: "a", name: id, value: id });
  const points = await send("GET", "/v3/touchpoints?experienceId=a");
  expect(points.body.data.touchpoints.map(({ id }: { id: string }) => id)).toEqual(["z", "y"]);
  expect((await send("GET", "/v3/touchpoints?experienceId=b")).body.data).toMatchObject({
    totalTouchpoints: 0,
    touchpoints: [],
  });
  const unknown = await send("GET", "/v3/touchpoints?experienceId=nobody");
  expect([unknown.status, unknown.body]).toStrictEqual([404, { statusCode: 404, message: "Experience not found" }]);
});

it.each<[string, object, string]>([
  ["/v3/experiences", { value: "v" }, "name"],
  ["/v3/experiences", { name: "n" }, "value"],
  ["/v3/experiences", { id: "a b", name: "n", value: "v" }, "id"],
  ["/v3/experiences", { name: 7, value: "v" }, "name"],
  ["/v3/touchpoints", { name: "n", value: "v" }, "experienceId"],
])("%s refuses %j by name", async (path, body, field) => {
  const answer = await send("POST", path, body);
  expect([answer.status, answer.body.statusCode]).toEqual([400, 400]);
  expect(answer.body.message).toContain(field);
});

it("a touchpoint of an experience that nobody has is 404", async () => {
  const answer = await send("POST", "/v3/touchpoints", { experienceId: "nobody", name: "n", value: "v" });
  expect([answer.status, answer.body]).toStrictEqual([404, { statusCode: 404, message: "Experience not found" }]);
});

it("scans may come as NDJSON, one a line", async () => {
  await send("POST", "/v3/experiences", { id: "e", name: "E", value: "e" });
  await send("POST", "/v3/touchpoints", { id: "t", experienceId: "e", name: "T", value: "t" });
  const lines = [
    { touchpointId: "t", userId: "u" },
    { touchpointId: "nobody", userId: "u" },
    { touchpointId: "t", userId: "v" },
  ];
  const headers = { "content-type": "application/x-ndjson" };
  const body = lines.map((line) => JSON.stringify(line)).join("\n");
  const answer = await waymark.call("POST", "/v3/touchpoint/scans", { key, headers, body });
  expect([answer.status, answer.body.data]).toMatchObject([200, { accepted: 2, rejected: [{ index: 1 }] }]);
  await waymark.idle();
  const { body: seen } = await send("GET", "/v3/touchpoint/metrics?metricsType=TOUCHPOINT&touchpointId=t");
  expect(seen.data.touchpoints.totalVisits).toBe(2);
});
