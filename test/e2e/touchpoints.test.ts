import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown, as = key) =>
  waymark.call(method, path, { headers: { "x-distinct-api-key": as }, body });
const metrics = (query: string, as = key) => send("GET", `/v3/touchpoint/metrics?${query}`, undefined, as);
const scan = async (scans: object[], as = key) => {
  const answer = await send("POST", "/v3/touchpoint/scans", { scans }, as);
  await waymark.idle();
  return answer;
};
const FETCHED = { statusCode: 200, message: "Touchpoint scanner metrics fetched successfully" };

/** An experience with the documented touchpoints. */
async function experience(as: string) {
  const made = [
    await send("POST", "/v3/experiences", { id: "47Gop5", name: "Cup", value: "experience-2024" }, as),
    await send(
      "POST",
      "/v3/touchpoints",
      { id: "tp-1", experienceId: "47Gop5", name: "Entry Scan", value: "entry_scan" },
      as,
    ),
    await send(
      "POST",
      "/v3/touchpoints",
      { id: "tp-2", experienceId: "47Gop5", name: "Exit Scan", value: "exit_scan" },
      as,
    ),
  ];
  expect(made.map(({ status }) => status)).toEqual([200, 200, 200]);
  return made;
}

const VISITS = [
  { id: "v3", touchpointId: "tp-1", userId: "user-1", timestampUTC: "2024-01-03T10:00:00Z" },
  { id: "v1", touchpointId: "tp-1", userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
  { id: "v2", touchpointId: "tp-1", userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
  { id: "v4", touchpointId: "tp-2", userId: "user-1", timestampUTC: "2024-01-04T10:00:00Z" },
];

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Distinct")).key;
  await experience(key);
  expect((await scan(VISITS)).body).toMatchObject({ statusCode: 200, data: { accepted: 4, rejected: [] } });
});
afterAll(() => waymark?.stop());

describe("the four documented shapes", () => {
  it("EXPERIENCE", async () => {
    const { status, body } = await metrics("metricsType=EXPERIENCE&experienceId=47Gop5&offset=0&pageSize=50");
    expect([status, body]).toStrictEqual([
      200,
      {
        ...FETCHED,
        data: {
          totalTouchpoints: 2,
          touchpoints: [
            { id: "tp-1", name: "Entry Scan", value: "entry_scan", totalVisits: 3, uniqueVisits: 2 },
            { id: "tp-2", name: "Exit Scan", value: "exit_scan", totalVisits: 1, uniqueVisits: 1 },
          ],
        },
      },
    ]);
    expect(Object.keys(body)).toEqual(["statusCode", "message", "data"]);
  });

  it("USER", async () => {
    const { body } = await metrics("metricsType=USER&experienceId=47Gop5&userId=user-1");
    expect(body).toStrictEqual({
      ...FETCHED,
      data: {
        totalTouchpoints: 2,
        touchpoints: [
          {
            id: "tp-1",
            name: "Entry Scan",
            value: "entry_scan",
            totalVisits: 2,
            timestampsUTC: ["2024-01-01T10:00:00Z", "2024-01-03T10:00:00Z"],
          },
          {
            id: "tp-2",
            name: "Exit Scan",
            value: "exit_scan",
            totalVisits: 1,
            timestampsUTC: ["2024-01-04T10:00:00Z"],
          },
        ],
      },
    });
  });

  const total = {
    ...FETCHED,
    data: {
      touchpoints: {
        id: "tp-1",
        name: "Entry Scan",
        value: "entry_scan",
        totalVisits: 3,
        totalVisitsDetails: {
          items: [
            { userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
            { userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
            { userId: "user-1", timestampUTC: "2024-01-03T10:00:00Z" },
          ],
          pagination: { offset: 0, pageSize: 50 },
        },
      },
    },
  };

  it.each(["", "&visitsType=TOTAL", "&experienceId=47Gop5&offset=0&pageSize=50"])(
    "TOUCHPOINT, TOTAL%s",
    async (more) => {
      expect((await metrics(`metricsType=TOUCHPOINT&touchpointId=tp-1${more}`)).body).toStrictEqual(total);
    },
  );

  it("TOUCHPOINT, UNIQUE", async () => {
    expect((await metrics("metricsType=TOUCHPOINT&touchpointId=tp-1&visitsType=UNIQUE")).body).toStrictEqual({
      ...FETCHED,
      data: {
        touchpoints: {
          id: "tp-1",
          name: "Entry Scan",
          value: "entry_scan",
          uniqueVisits: 2,
          uniqueVisitsDetails: {
            items: [
              { userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
              { userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
            ],
            pagination: { offset: 0, pageSize: 50 },
          },
        },
      },
    });
  });
});

describe("the notes of the page", () => {
  it("visitsType has no effect with EXPERIENCE and USER, whatever it is", async () => {
    for (const query of [
      "metricsType=EXPERIENCE&experienceId=47Gop5",
      "metricsType=USER&experienceId=47Gop5&userId=user-2",
    ])
      expect((await metrics(`${query}&visitsType=BANANA`)).body).toStrictEqual((await metrics(query)).body);
  });

  it("pageSize and offset page the details of a touchpoint alone", async () => {
    const items = async (query: string) => {
      const { body } = await metrics(`metricsType=TOUCHPOINT&touchpointId=tp-1&${query}`);
      const { totalVisitsDetails, uniqueVisitsDetails, totalVisits, uniqueVisits } = body.data.touchpoints;
      const { items: page, pagination } = totalVisitsDetails ?? uniqueVisitsDetails;
      return [page.map(({ userId }: { userId: string }) => userId), pagination, totalVisits ?? uniqueVisits];
    };
    expect(await items("pageSize=2")).toEqual([["user-1", "user-2"], { offset: 0, pageSize: 2 }, 3]);
    expect(await items("pageSize=2&offset=2")).toEqual([["user-1"], { offset: 2, pageSize: 2 }, 3]);
    expect(await items("offset=9")).toEqual([[], { offset: 9, pageSize: 50 }, 3]);
    expect(await items("visitsType=UNIQUE&pageSize=1&offset=1")).toEqual([["user-2"], { offset: 1, pageSize: 1 }, 2]);
    const whole = await metrics("metricsType=EXPERIENCE&experienceId=47Gop5&pageSize=1&offset=1");
    expect(whole.body.data.touchpoints).toHaveLength(2);
  });

  it("a known user without visits in this experience has none", async () => {
    await send("POST", "/v3/experiences", { id: "empty", name: "Empty", value: "empty" });
    const { status, body } = await metrics("metricsType=USER&experienceId=empty&userId=user-1");
    expect([status, body.data]).toStrictEqual([200, { totalTouchpoints: 0, touchpoints: [] }]);
  });

  it("a touchpoint that nobody visited is there with zeros", async () => {
    const { key: own } = await waymark.workspace("Fresh");
    await experience(own);
    const { body } = await metrics("metricsType=EXPERIENCE&experienceId=47Gop5", own);
    expect(body.data.touchpoints[1]).toMatchObject({ id: "tp-2", totalVisits: 0, uniqueVisits: 0 });
    const alone = await metrics("metricsType=TOUCHPOINT&touchpointId=tp-2", own);
    expect(alone.body.data.touchpoints.totalVisitsDetails.items).toEqual([]);
  });
});

describe("the documented refusals", () => {
  it.each([
    ["", 400, "Missing required parameter: metricsType"],
    ["metricsType=", 400, "Missing required parameter: metricsType"],
    ["metricsType=ALL", 400, "Invalid value for metricsType: must be one of EXPERIENCE, USER, TOUCHPOINT"],
    [
      "metricsType=experience&experienceId=47Gop5",
      400,
      "Invalid value for metricsType: must be one of EXPERIENCE, USER, TOUCHPOINT",
    ],
    ["metricsType=EXPERIENCE", 400, "Missing required parameter: experienceId"],
    ["metricsType=USER&userId=user-1", 400, "Missing required parameter: experienceId"],
    ["metricsType=USER&experienceId=47Gop5", 400, "Missing required parameter: userId"],
    ["metricsType=TOUCHPOINT", 400, "Missing required parameter: touchpointId"],
    [
      "metricsType=TOUCHPOINT&touchpointId=tp-1&visitsType=ALL",
      400,
      "Invalid value for visitsType: must be one of TOTAL, UNIQUE",
    ],
    ["metricsType=EXPERIENCE&experienceId=nobody", 404, "Experience not found"],
    ["metricsType=USER&experienceId=nobody&userId=user-1", 404, "Experience not found"],
    ["metricsType=USER&experienceId=47Gop5&userId=nobody", 404, "User not found"],
    ["metricsType=TOUCHPOINT&touchpointId=nobody", 404, "Touchpoint not found"],
    ["metricsType=TOUCHPOINT&touchpointId=tp-1&experienceId=nobody", 404, "Experience not found"],
  ])("%s → %i %s", async (query, status, message) => {
    const answer = await metrics(query);
    expect([answer.status, answer.body]).toStrictEqual([status, { statusCode: status, message }]);
  });

  it("a touchpoint of another experience is not found", async () => {
    await send("POST", "/v3/experiences", { id: "other", name: "Other", value: "other" });
    const answer = await metrics("metricsType=TOUCHPOINT&touchpointId=tp-1&experienceId=other");
    expect([answer.status, answer.body.message]).toEqual([404, "Touchpoint not found"]);
  });

  it.each(["pageSize=0", "pageSize=1001", "pageSize=ten", "offset=-1", "offset=x"])(
    "refuses %s by name",
    async (query) => {
      const answer = await metrics(`metricsType=TOUCHPOINT&touchpointId=tp-1&${query}`);
      expect([answer.status, answer.body.statusCode]).toEqual([400, 400]);
      expect(Object.keys(answer.body)).toEqual(["statusCode", "message"]);
      expect(answer.body.message).toContain(query.split("=")[0]);
    },
  );

  it("401 without a key and with a wrong one", async () => {
    for (const headers of [{}, { "x-distinct-api-key": "nobody" }]) {
      const answer = await waymark.call("GET", "/v3/touchpoint/metrics", {
        headers: headers as Record<string, string>,
      });
      expect([answer.status, answer.body]).toStrictEqual([
        401,
        { statusCode: 401, message: "Invalid or missing API key" },
      ]);
    }
  });

  it("a neighbour sees nothing of it", async () => {
    const { key: neighbour } = await waymark.workspace("Neighbour");
    const seen = async (query: string) => (await metrics(query, neighbour)).body.message;
    expect(await seen("metricsType=EXPERIENCE&experienceId=47Gop5")).toBe("Experience not found");
    expect(await seen("metricsType=TOUCHPOINT&touchpointId=tp-1")).toBe("Touchpoint not found");
    await experience(neighbour);
    expect(await seen("metricsType=USER&experienceId=47Gop5&userId=user-1")).toBe("User not found");
  });
});

describe("scans of touchpoints", () => {
  it("are rejected one by one and count once", async () => {
    const { key: own } = await waymark.workspace("Scans");
    await experience(own);
    const good = { id: "g", touchpointId: "tp-1", userId: "u" };
    const wrong: [object, string][] = [
      [{ ...good, touchpointId: "nobody" }, "touchpointId"],
      [{ userId: "u" }, "touchpointId"],
      [{ touchpointId: "tp-1" }, "userId"],
      [{ ...good, timestampUTC: "noon" }, "timestampUTC"],
      [{ ...good, timestampUTC: new Date(Date.now() + 3_600_000).toISOString() }, "timestampUTC"],
      [{ ...good, id: "a b" }, "id"],
    ];
    const { status, body } = await scan([good, ...wrong.map(([item]) => item), good], own);
    expect([status, body.statusCode, body.data.accepted]).toEqual([200, 200, 2]);
    expect(body.data.rejected.map(({ index }: { index: number }) => index)).toEqual([1, 2, 3, 4, 5, 6]);
    body.data.rejected.forEach(({ message }: { message: string }, n: number) => {
      expect(message).toContain(wrong[n]?.[1]);
    });
    const seen = await metrics("metricsType=TOUCHPOINT&touchpointId=tp-1", own);
    expect(seen.body.data.touchpoints.totalVisits).toBe(1);
  });

  it("are exact when the same user comes a thousand times", async () => {
    const { key: own } = await waymark.workspace("Often");
    await experience(own);
    const many = Array.from({ length: 1_000 }, (_, n) => ({ touchpointId: "tp-1", userId: `u${n % 7}` }));
    expect((await scan(many, own)).body.data.accepted).toBe(1_000);
    const { body } = await metrics("metricsType=EXPERIENCE&experienceId=47Gop5", own);
    expect(body.data.touchpoints[0]).toMatchObject({ totalVisits: 1_000, uniqueVisits: 7 });
    const last = await metrics("metricsType=TOUCHPOINT&touchpointId=tp-1&pageSize=1000", own);
    expect(last.body.data.touchpoints.totalVisitsDetails.items).toHaveLength(1_000);
  });

  it.each([{}, { scans: [] }, { scans: 7 }])("are refused as a whole as %j", async (body) => {
    const answer = await send("POST", "/v3/touchpoint/scans", body);
    expect([answer.status, answer.body.statusCode]).toEqual([400, 400]);
    expect(answer.body.message).toContain("scans");
  });
});
