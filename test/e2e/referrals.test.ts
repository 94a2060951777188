import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const PERSON = { first_name: "Alex", last_name: "Kim", email: "alex@example.com" };

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Referrals")).key;
  await send("POST", "/api/v1/programs", { id: "prog_123abc", name: "Campus", landing_url: "https://example.com" });
  const user = {
    id: "user_123abc",
    first_name: "Sam",
    last_name: "T",
    email: "s@example.com",
    program_id: "prog_123abc",
  };
  await send("POST", "/api/v1/users", user);
  await send("POST", "/api/v1/posters", { id: "poster_1", program_id: "prog_123abc", student_id: "user_123abc" });
  await send("POST", "/api/v1/impressions", { impressions: [{ id: "imp_123abc", poster_id: "poster_1" }] });
  await waymark.idle();
});
afterAll(() => waymark?.stop());

const refer = (more: object = {}) =>
  send("POST", "/api/v1/referrals", { impression_id: "imp_123abc", ...PERSON, ...more });

describe("a referral", () => {
  it("has the documented fields and begins as pending", async () => {
    const { status, body } = await refer({ id: "ref_123abc", metadata: { plan: "pro" } });
    expect([status, body]).toStrictEqual([
      201,
      {
        id: "ref_123abc",
        impression_id: "imp_123abc",
        ...PERSON,
        profile_picture: null,
        status: "pending",
        program_id: "prog_123abc",
        student_id: "user_123abc",
        created_at: expect.stringMatching(TIME),
        verified_at: null,
        metadata: { plan: "pro" },
      },
    ]);
    expect((await send("GET", "/api/v1/referrals/ref_123abc")).body).toStrictEqual(body);
  });

  it("is the same for the same idempotency key, also when both are sent at once", async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => refer({ idempotency_key: "once" })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    const other = await refer({ idempotency_key: "once", first_name: "Someone", email: "else@example.com" });
    expect(other.body).toStrictEqual(answers[0]?.body);
    expect((await refer({ idempotency_key: "twice" })).body.id).not.toBe(other.body.id);
  });

  it("is listed by program and status", async () => {
    const { body: made } = await refer();
    await send("PUT", `/api/v1/referrals/${made.id}`, { status: "converted" });
    const listed = async (query: string) => (await send("GET", `/api/v1/referrals?${query}`)).body.referrals;
    expect((await listed("status=converted")).map(({ id }: { id: string }) => id)).toEqual([made.id]);
    expect((await listed("programId=prog_123abc&limit=1"))[0].id).toBe("ref_123abc");
    expect(await listed("programId=prog_nobody")).toEqual([]);
    const refused = await send("GET", "/api/v1/referrals?status=happy");
    expect([refused.status, refused.body.error]).toEqual([400, "Bad Request"]);
    expect(refused.body.message).toContain("status");
  });

  it("becomes verified at a time, and keeps what a change does not name", async () => {
    const { body: made } = await refer({ metadata: { a: 1, b: 2 } });
    const path = `/api/v1/referrals/${made.id}`;
    const verified = await send("PUT", path, { status: "verified", metadata: { b: null, c: 3 } });
    expect(verified.body).toStrictEqual({
      ...made,
      status: "verified",
      verified_at: expect.stringMatching(TIME),
      metadata: { a: 1, c: 3 },
    });
    const given = await send("PUT", path, { verified_at: "2024-02-01T00:00:00Z" });
    expect(given.body.verified_at).toBe("2024-02-01T00:00:00Z");
    expect((await send("PUT", path, { status: "rejected" })).body).toMatchObject({ status: "rejected" });
  });

  it.each<[object, string]>([
    [{ impression_id: "imp_nobody" }, "impression_id"],
    [{ impression_id: undefined }, "impression_id"],
    [{ first_name: "" }, "first_name"],
    [{ last_name: undefined }, "last_name"],
    [{ email: "alex" }, "email"],
    [{ profile_picture: "data:1" }, "profile_picture"],
    [{ metadata: [] }, "metadata"],
    [{ idempotency_key: "" }, "idempotency_key"],
  ])("is refused with %j", async (wrong, field) => {
    const answer = await refer(wrong);
    expect([answer.status, Object.keys(answer.body)]).toEqual([400, ["error", "message"]]);
    expect(answer.body.message).toContain(field);
  });

  it("of another workspace is unknown", async () => {
    const neighbour = await waymark.workspace("Neighbour");
    for (const method of ["GET", "PUT"]) {
      const body = method === "PUT" ? { status: "verified" } : undefined;
      const answer = await waymark.call(method, "/api/v1/referrals/ref_123abc", { key: neighbour.key, body });
      expect([answer.status, answer.body.error]).toEqual([404, "Not Found"]);
    }
    expect((await send("GET", "/api/v1/referrals/ref_123abc")).body.status).toBe("pending");
  });
});

describe("an earning", () => {
  const earn = (more: object = {}) =>
    send("POST", "/api/v1/earnings", { referral_id: "ref_123abc", amount: 2500, ...more });

  it("has the documented fields, in cents and dollars unless told otherwise", async () => {
    const { status, body } = await earn({ id: "earn_123abc", type: "purchase", description: "First order" });
    expect([status, body]).toStrictEqual([
      201,
      {
        id: "earn_123abc",
        referral_id: "ref_123abc",
        amount: 2500,
        currency: "USD",
        type: "purchase",
        description: "First order",
        status: "pending",
        reference_id: null,
        created_at: expect.stringMatching(TIME),
        paid_at: null,
        metadata: {},
      },
    ]);
    expect((await send("GET", "/api/v1/earnings/earn_123abc")).body).toStrictEqual(body);
  });

  it("is listed by its snake_case filters", async () => {
    const listed = async (query: string) => (await send("GET", `/api/v1/earnings?${query}`)).body.earnings.length;
    expect(await listed("referral_id=ref_123abc&program_id=prog_123abc&status=pending")).toBe(1);
    expect(await listed("referral_id=ref_nobody")).toBe(0);
    expect(await listed("status=paid")).toBe(0);
  });

  it("is paid at a time, once", async () => {
    const { body: made } = await earn({ idempotency_key: "pay" });
    expect((await earn({ idempotency_key: "pay", amount: 1 })).body).toStrictEqual(made);
    const paid = await send("PUT", `/api/v1/earnings/${made.id}`, { status: "paid", reference_id: "po_1" });
    expect(paid.body).toMatchObject({ status: "paid", reference_id: "po_1", paid_at: expect.stringMatching(TIME) });
    const again = await send("PUT", `/api/v1/earnings/${made.id}`, { status: "paid" });
    expect(again.body.paid_at).toBe(paid.body.paid_at);
  });

  it.each<[object, string]>([
    [{ referral_id: "ref_nobody" }, "referral_id"],
    [{ amount: undefined }, "amount"],
    [{ amount: -1 }, "amount"],
    [{ amount: 12.5 }, "amount"],
    [{ currency: "dollars" }, "currency"],
    [{ type: "gift" }, "type"],
    [{ status: "gone" }, "status"],
  ])("is refused with %j", async (wrong, field) => {
    const answer = await earn(wrong);
    expect([answer.status, answer.body.error]).toEqual([400, "Bad Request"]);
    expect(answer.body.message).toContain(field);
  });
});
