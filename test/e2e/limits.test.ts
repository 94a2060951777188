import { afterEach, describe, expect, it } from "vitest";
import { type Answer, startWaymark, type Waymark } from "../support/waymark.ts";
import { makeTag } from "./house-keys.ts";

let waymark: Waymark | undefined;
afterEach(async () => {
  await waymark?.stop();
  waymark = undefined;
});

const TRUSTING = { WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" };

async function times(count: number, request: () => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < count; n += 1) answers.push(await request());
  return answers;
}
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status);

describe("with limits of its own", () => {
  const open = async () => {
    const opened = await startWaymark({ ...TRUSTING, WAYMARK_RATE_LIMITS: "scan=3/60,default=5/60" });
    waymark = opened;
    return opened;
  };

  it("tells a key on every answer how it stands, and 429 in its API's words when it is used up", async () => {
    const { call, workspace } = await open();
    const { key } = await workspace("Limited");
    const answers = await times(5, () => call("GET", "/v1/scans", { key }));
    expect(statuses(answers)).toEqual([200, 200, 200, 200, 200]);
    expect(answers.map(({ headers }) => headers.get("x-ratelimit-remaining"))).toEqual(["4", "3", "2", "1", "0"]);
    const [first] = answers as [Answer];
    const reset = Number(first.headers.get("x-ratelimit-reset"));
    expect(first.headers.get("x-ratelimit-limit")).toBe("5");
    expect(reset - Date.now() / 1000).toBeGreaterThan(50);
    expect(reset - Date.now() / 1000).toBeLessThanOrEqual(61);
    expect(first.headers.get("ratelimit-policy")).toMatch(/^"\w+";q=5;w=60$/);
    expect(first.headers.get("ratelimit")).toMatch(/^"\w+";r=4;t=\d+$/);
    const refused = await call("GET", "/v1/scans", { key });
    expect([refused.status, refused.body]).toMatchObject([429, { title: "Too Many Requests", code: "RATE_LIMITED" }]);
    const wait = Number(refused.headers.get("retry-after"));
    expect([wait > 0, wait <= 60]).toEqual([true, true]);
    const elsewhere = await call("GET", "/v3/experiences", { key });
    expect([elsewhere.status, elsewhere.body]).toEqual([429, { statusCode: 429, message: expect.any(String) }]);
    const impressions = await call("GET", "/api/v1/impressions", { key });
    expect([impressions.status, impressions.body.error]).toEqual([429, "Too Many Requests"]);
    const events = await call("GET", "/analytics/v1/links", { key });
    expect([events.status, events.body.error.codeType]).toEqual([429, "RESOURCE_EXHAUSTED"]);
  });

  it("counts each key for itself, and refused calls change nothing", async () => {
    const { call, workspace } = await open();
    const [one, two] = [await workspace("One"), await workspace("Two")];
    await times(5, () => call("GET", "/v1/scans", { key: one.key }));
    const refused = await call("POST", "/v1/qpr-codes", { key: one.key, body: { name: "A", prompt: "B" } });
    expect(refused.status).toBe(429);
    expect((await call("GET", "/v1/qpr-codes", { key: two.key })).status).toBe(200);
    expect((await call("GET", "/v1/scans", { key: one.key })).status).toBe(429);
  });

  it("counts public calls by address", async () => {
    const { call } = await open();
    const from = (ip: string) => call("GET", "/api/v1/scan/aGVsbG8td29ybGQ", { headers: { "x-forwarded-for": ip } });
    expect(statuses(await times(4, () => from("203.0.113.1")))).toEqual([404, 404, 404, 429]);
    const refused = await from("203.0.113.1");
    expect(refused.body).toEqual({ success: false, error: { code: "RATE_LIMITED", message: expect.any(String) } });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await from("203.0.113.2")).status).toBe(404);
  });

  it("does not believe a forwarded address from whom it does not trust", async () => {
    waymark = await startWaymark({ WAYMARK_RATE_LIMITS: "scan=3/60" });
    const { call } = waymark;
    let n = 0;
    const answers = await times(4, () => {
      n += 1;
      return call("GET", "/api/v1/scan/x", { headers: { "x-forwarded-for": `203.0.113.${n}` } });
    });
    expect(statuses(answers)).toEqual([404, 404, 404, 429]);
  });
});

it("tells how it stands on refusals too", async () => {
  waymark = await startWaymark({ WAYMARK_RATE_LIMITS: "" });
  const { call, workspace } = waymark;
  const { key } = await workspace("Refused");
  const made = await call("POST", "/waymark/v1/keys", { key, body: { name: "narrow", scopes: ["audit:read"] } });
  const refusals: [number, Answer][] = [
    [404, await call("GET", "/v1/scans/nobody", { key })],
    [400, await call("GET", "/v1/scans?limit=0", { key })],
    [400, await call("POST", "/v1/qpr-codes", { key, body: "{" })],
    [403, await call("GET", "/v1/scans", { key: made.body.secret })],
  ];
  for (const [status, answer] of refusals) {
    expect(answer.status).toBe(status);
    for (const name of [
      "x-ratelimit-limit",
      "x-ratelimit-remaining",
      "x-ratelimit-reset",
      "ratelimit",
      "ratelimit-policy",
    ])
      expect([status, name, answer.headers.get(name)]).toEqual([status, name, expect.stringMatching(/\d/)]);
  }
});

describe("with the documented limits", () => {
  it("30 scans, 5 looks at emergencies and 5 contacts a minute for an address, 20 contacts an hour for a tag", async () => {
    const { call, workspace } = await startWaymark({ ...TRUSTING, WAYMARK_RATE_LIMITS: "" }).then((opened) => {
      waymark = opened;
      return opened;
    });
    const { key } = await workspace("Documented");
    const { encryptedId } = await makeTag({ call }, key, {});
    const get = (path: string, ip: string) =>
      call("GET", `/api/v1/scan/${encryptedId}${path}`, { headers: { "x-forwarded-for": ip } });
    const write = (ip: string) =>
      call("POST", `/api/v1/scan/${encryptedId}/contact`, {
        headers: { "x-forwarded-for": ip },
        body: { message: "Hi" },
      });
    const scans = statuses(await times(31, () => get("", "203.0.113.1")));
    expect(scans).toEqual([...Array.from({ length: 30 }, () => 200), 429]);
    expect(statuses(await times(6, () => get("/emergency", "203.0.113.1")))).toEqual([404, 404, 404, 404, 404, 429]);
    const contacts = [];
    for (const ip of ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"])
      contacts.push(statuses(await times(6, () => write(ip))));
    expect(contacts).toEqual(Array.from({ length: 4 }, () => [201, 201, 201, 201, 201, 429]));
    const another = await write("203.0.113.5");
    expect([another.status, another.body.error.code]).toEqual([429, "RATE_LIMITED"]);
    expect(Number(another.headers.get("retry-after"))).toBeGreaterThan(60);
    const limits = await call("GET", "/v1/scans", { key });
    expect(limits.headers.get("x-ratelimit-limit")).toBe("6000");
    expect((await call("GET", "/analytics/v1/events", { key })).headers.get("x-ratelimit-limit")).toBe("600");
  });
});
