import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Route } from "../../gateway/routes.ts";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { everything, type Ids, makeOneOfEach } from "./one-of-each.ts";
import { allOperations, hasVariable, isPublic, nameOf, pathOf } from "./operations.ts";

let waymark: Waymark;
let owner: { id: string; key: string };
let stranger: { id: string; key: string };
let ids: Ids;
let operations: readonly Route[];

beforeAll(async () => {
  waymark = await startWaymark();
  owner = await waymark.workspace("Owner");
  stranger = await waymark.workspace("Stranger");
  ids = await makeOneOfEach(waymark, { key: owner.key, workspace: owner.id });
  operations = allOperations();
});
afterAll(() => waymark?.stop());

const as = (key: string) => (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });

describe("a stranger", () => {
  it("finds no object of another workspace in any list", async () => {
    const lists = operations.filter((one) => one.method === "GET" && !isPublic(one) && !hasVariable(one));
    expect(lists.length).toBeGreaterThan(20);
    for (const operation of lists) {
      const { text } = await waymark.call("GET", pathOf(operation, ids), { key: stranger.key });
      for (const id of [...Object.values(ids), owner.id, "exp-1", "tp-1"])
        expect([nameOf(operation), id, text.includes(`"${id}"`)]).toEqual([nameOf(operation), id, false]);
    }
  });

  it.each<[string, string, object, number, string]>([
    ["a poster of its program", "/api/v1/posters", { program_id: "prog-1", student_id: "user-1" }, 400, "program_id"],
    [
      "an ambassador of its program",
      "/api/v1/users",
      { first_name: "A", last_name: "B", email: "a@example.com", program_id: "prog-1" },
      400,
      "program_id",
    ],
    [
      "a referral of its impression",
      "/api/v1/referrals",
      { impression_id: "imp-1", first_name: "A", last_name: "B", email: "a@example.com" },
      400,
      "impression_id",
    ],
    ["an earning of its referral", "/api/v1/earnings", { referral_id: "ref-1", amount: 1 }, 400, "referral_id"],
    [
      "a touchpoint of its experience",
      "/v3/touchpoints",
      { experienceId: "exp-1", name: "T", value: "t" },
      404,
      "Experience not found",
    ],
  ])("cannot make %s", async (_what, path, body, status, says) => {
    const was = await everything(waymark, owner.key);
    const answer = await as(stranger.key)("POST", path, body);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(says)]);
    expect(await everything(waymark, owner.key)).toStrictEqual(was);
  });

  it("cannot bring in touches of its objects", async () => {
    const was = await everything(waymark, owner.key);
    const call = as(stranger.key);
    const { short_id } = (await as(owner.key)("GET", "/v1/qpr-codes/code-1")).body;
    const scans = await call("POST", "/v1/scans", { scans: [{ qpr_code_id: "code-1" }, { short_id }] });
    expect(scans.body).toMatchObject({
      accepted: 0,
      rejected: [{ code: "CODE_NOT_FOUND" }, { code: "CODE_NOT_FOUND" }],
    });
    const impressions = await call("POST", "/api/v1/impressions", { impressions: [{ poster_id: "poster-1" }] });
    expect(impressions.body).toMatchObject({ accepted: 0, rejected: [{ index: 0 }] });
    const visits = await call("POST", "/v3/touchpoint/scans", { scans: [{ touchpointId: "tp-1", userId: "u" }] });
    expect(visits.body.data).toMatchObject({ accepted: 0, rejected: [{ index: 0 }] });
    expect((await call("POST", "/v1/scans/scan-1/conversation", { messages: 9 })).status).toBe(404);
    expect(await everything(waymark, owner.key)).toStrictEqual(was);
  });

  it("may have objects of the same ids, and each sees its own", async () => {
    await makeOneOfEach(waymark, { key: stranger.key, workspace: stranger.id });
    const paths = ["/v1/scans", "/api/v1/impressions", "/api/v1/referrals", "/api/v1/tags"];
    for (const path of paths) {
      const [mine, theirs] = await Promise.all([as(stranger.key)("GET", path), as(owner.key)("GET", path)]);
      const total = (body: { total?: number; meta?: { total: number } }) => body.total ?? body.meta?.total;
      expect([path, total(mine.body), total(theirs.body)]).toEqual([path, 1, 1]);
    }
    await as(stranger.key)("DELETE", "/v1/qpr-codes/code-1");
    expect((await as(owner.key)("GET", "/v1/qpr-codes/code-1")).status).toBe(200);
  });
});

describe("at the same time", () => {
  it("one of many gets a short id that all want", async () => {
    const wanted = { name: "A", prompt: "B", short_id: "wanted" };
    const keys = Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? owner.key : stranger.key));
    const answers = await Promise.all(keys.map((key) => as(key)("POST", "/v1/qpr-codes", wanted)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409, 409, 409, 409]);
    const total = await Promise.all([owner, stranger].map(({ key }) => as(key)("GET", "/v1/qpr-codes?search=wanted")));
    expect(total.reduce((sum, { body }) => sum + body.total, 0)).toBe(1);
  });

  it("many changes of one object all hold", async () => {
    const fields = ["a", "b", "c", "d", "e", "f"];
    const { body } = await as(owner.key)("POST", "/api/v1/programs", { name: "P", landing_url: "https://example.com" });
    const change = async (field: string) => {
      for (;;) {
        const answer = await as(owner.key)("PATCH", `/api/v1/programs/${body.id}`, { metadata: { [field]: 1 } });
        if (answer.status !== 409) return answer.status;
      }
    };
    expect(await Promise.all(fields.map(change))).toEqual(fields.map(() => 200));
    const { metadata } = (await as(owner.key)("GET", `/api/v1/programs/${body.id}`)).body;
    expect(Object.keys(metadata).sort()).toEqual(fields);
  });
});

describe("odd texts", () => {
  it("come back as they were sent", async () => {
    const name = "a\u0000b \u202e é 👩‍🔧 ' \" \\ %_ <b> ; DROP TABLE scans;--";
    const sent = { name, metadata: { constructor: 1, toString: "x", "": null, "a.b": [name], $where: "1" } };
    const code = await makeCode(waymark, owner.key, sent);
    const { body } = await as(owner.key)("GET", `/v1/qpr-codes/${code.id}`);
    expect([body.name, body.metadata]).toStrictEqual([name, sent.metadata]);
    await sendScans(waymark, owner.key, [{ id: "__proto__", qpr_code_id: code.id, city: "O'Hare\u0000" }]);
    expect((await as(owner.key)("GET", "/v1/scans/__proto__")).body).toMatchObject({
      city: "O'Hare\u0000",
      metadata: sent.metadata,
    });
  });

  it("are searched for as they are, and never as patterns", async () => {
    await makeCode(waymark, owner.key, { name: "100% off_now" });
    const found = async (search: string) =>
      (await as(owner.key)("GET", `/v1/qpr-codes?search=${encodeURIComponent(search)}`)).body.qpr_codes.map(
        ({ name }: { name: string }) => name,
      );
    expect(await found("0% OFF_")).toEqual(["100% off_now"]);
    for (const pattern of [".*", "1%f", "1__", "^1", "(", "\\"])
      expect(await found(pattern)).not.toContain("100% off_now");
  });

  it("that are no Unicode are refused, in free JSON too", async () => {
    for (const field of [
      '"name":"\\ud800"',
      '"metadata":{"x":["\\udc00"]}',
      '"metadata":{"\\ud800":1}',
      '"tags":["\\ud800"]',
    ]) {
      const answer = await as(owner.key)("POST", "/v1/qpr-codes", `{"name":"A","prompt":"B",${field}}`);
      expect([field, answer.status, answer.body.code]).toEqual([field, 400, "INVALID_FIELD"]);
    }
  });
});
