import jsqr from "jsqr";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Posters")).key;
});
afterAll(() => waymark?.stop());

describe("a program", () => {
  it("is made, shown, listed and changed", async () => {
    const sent = {
      id: "prog_123abc",
      name: "Campus",
      landing_url: "https://example.com/join?src=qr",
      metadata: { a: 1 },
    };
    const made = await send("POST", "/api/v1/programs", sent);
    expect([made.status, made.body]).toEqual([
      201,
      { ...sent, created_at: expect.stringMatching(TIME), updated_at: expect.stringMatching(TIME) },
    ]);
    expect((await send("GET", "/api/v1/programs/prog_123abc")).body).toStrictEqual(made.body);
    const { body } = await send("GET", "/api/v1/programs");
    expect(body.programs).toStrictEqual([made.body]);
    const changed = await send("PATCH", "/api/v1/programs/prog_123abc", { name: "New name" });
    expect([changed.status, changed.body]).toMatchObject([200, { name: "New name", landing_url: sent.landing_url }]);
  });
});

describe("a user", () => {
  it("has the documented fields, more of them when shown alone", async () => {
    const sent = { id: "user_123abc", first_name: "Sam", last_name: "Taylor", email: "sam@example.com" };
    const made = await send("POST", "/api/v1/users", { ...sent, program_id: "prog_123abc" });
    expect(made.status).toBe(201);
    const { body } = await send("GET", "/api/v1/users?programId=prog_123abc&limit=10&offset=0");
    expect(body.users).toStrictEqual([{ ...sent, program_id: "prog_123abc", created_at: expect.stringMatching(TIME) }]);
    const alone = await send("GET", "/api/v1/users/user_123abc");
    expect(alone.body).toStrictEqual({
      ...sent,
      program_id: "prog_123abc",
      profile_picture: null,
      created_at: expect.stringMatching(TIME),
      updated_at: expect.stringMatching(TIME),
      metadata: {},
    });
    expect(alone.body).toStrictEqual(made.body);
  });

  it.each<[object, string]>([
    [{ first_name: undefined }, "first_name"],
    [{ email: "no address" }, "email"],
    [{ program_id: "prog_nobody" }, "program_id"],
    [{ profile_picture: "javascript:1" }, "profile_picture"],
  ])("is refused with %j", async (wrong, field) => {
    const fine = { first_name: "A", last_name: "B", email: "a@example.com", program_id: "prog_123abc" };
    const answer = await send("POST", "/api/v1/users", { ...fine, ...wrong });
    expect([answer.status, answer.body.error]).toEqual([400, "Bad Request"]);
    expect(answer.body.message).toContain(field);
  });
});

describe("a poster", () => {
  const make = (more: object = {}) =>
    send("POST", "/api/v1/posters", { program_id: "prog_123abc", student_id: "user_123abc", ...more });

  it("has the documented fields, and a picture that says where a scan goes", async () => {
    const made = await make({ id: "poster_123abc", location: "campus_center", metadata: { floor: 2 } });
    expect(made.status).toBe(201);
    const { scan_url, qr_code_url, updated_at, ...rest } = made.body;
    expect(rest).toStrictEqual({
      id: "poster_123abc",
      program_id: "prog_123abc",
      student_id: "user_123abc",
      location: "campus_center",
      created_at: expect.stringMatching(TIME),
      metadata: { floor: 2 },
    });
    expect(updated_at).toMatch(TIME);
    expect(scan_url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/s\/[a-z0-9]+$/);
    const image = PNG.sync.read(Buffer.from(await (await fetch(qr_code_url)).arrayBuffer()));
    expect(jsqr.default(new Uint8ClampedArray(image.data), image.width, image.height)?.data).toBe(scan_url);
    const { body } = await send("GET", "/api/v1/posters?programId=prog_123abc&studentId=user_123abc");
    expect(body.posters).toStrictEqual([{ ...rest, scan_url, qr_code_url }]);
    expect((await send("GET", "/api/v1/posters/poster_123abc")).body).toStrictEqual(made.body);
  });

  it("sends whoever scans it on with the impression, which is recorded and can be referred to", async () => {
    const { body: poster } = await make({ metadata: { wall: "north" } });
    const scanned = await fetch(poster.scan_url, {
      redirect: "manual",
      headers: { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)", "x-forwarded-for": "8.8.8.8" },
    });
    expect(scanned.status).toBe(302);
    const location = new URL(scanned.headers.get("location") as string);
    const id = location.searchParams.get("impression_id") as string;
    expect(`${location.origin}${location.pathname}`).toBe("https://example.com/join");
    expect(location.searchParams.get("src")).toBe("qr");
    expect(id).toMatch(/^imp_/);
    const person = { first_name: "Alex", last_name: "Kim", email: "alex@example.com" };
    const referral = await send("POST", "/api/v1/referrals", { impression_id: id, ...person });
    expect([referral.status, referral.body.impression_id]).toEqual([201, id]);
    const impression = await send("GET", `/api/v1/impressions/${id}`);
    expect(impression.body).toMatchObject({
      id,
      poster_id: poster.id,
      program_id: "prog_123abc",
      student_id: "user_123abc",
      user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)",
      ip_address: "8.8.8.0",
      metadata: { wall: "north" },
    });
    expect((await send("GET", `/api/v1/impressions?posterId=${poster.id}`)).body.total).toBe(1);
  });

  it("leads to the new page at once when its program's has moved", async () => {
    const { body: poster } = await make();
    const { pathname } = new URL(poster.scan_url);
    expect((await waymark.call("GET", pathname)).headers.get("location")).toMatch(/^https:\/\/example\.com\/join/);
    await send("PATCH", "/api/v1/programs/prog_123abc", { landing_url: "https://example.com/moved" });
    expect((await waymark.call("GET", pathname)).headers.get("location")).toMatch(/^https:\/\/example\.com\/moved\?/);
  });

  it("is no code of the Scans API, and its scans are none there", async () => {
    expect((await send("GET", "/v1/qpr-codes")).body.total).toBe(0);
    expect((await send("GET", "/v1/scans?include_bots=true")).body.total).toBe(0);
    expect((await send("GET", "/v1/qpr-codes/poster_123abc")).status).toBe(404);
    const refused = await send("POST", "/v1/scans", { scans: [{ qpr_code_id: "poster_123abc" }] });
    expect(refused.body).toMatchObject({ accepted: 0, rejected: [{ code: "CODE_NOT_FOUND" }] });
  });

  it("scanned by a program is no impression", async () => {
    const { body: poster } = await make();
    const { pathname } = new URL(poster.scan_url);
    await waymark.call("HEAD", pathname);
    await waymark.call("GET", pathname, { headers: { "user-agent": "WhatsApp/2.23" } });
    await waymark.call("GET", pathname, { headers: { "user-agent": "" } });
    await eventually(async () =>
      expect((await send("GET", `/api/v1/impressions?posterId=${poster.id}`)).body.total).toBe(1),
    );
  });

  it.each<[object, string]>([
    [{ program_id: "prog_nobody" }, "program_id"],
    [{ student_id: "user_nobody" }, "student_id"],
    [{ student_id: undefined }, "student_id"],
    [{ location: "x".repeat(501) }, "location"],
  ])("is refused with %j", async (wrong, field) => {
    const answer = await make(wrong);
    expect([answer.status, answer.body.error]).toEqual([400, "Bad Request"]);
    expect(answer.body.message).toContain(field);
  });
});
