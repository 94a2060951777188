import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown, as = key) => waymark.call(method, path, { key: as, body });
const record = async (impressions: object[], as = key) => {
  const answer = await send("POST", "/api/v1/impressions", { impressions }, as);
  await waymark.idle();
  return answer;
};

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)";
const FIRST = {
  id: "imp_123abc",
  poster_id: "poster_123abc",
  scanned_at: "2024-01-15T10:30:00Z",
  user_agent: IPHONE,
  ip_address: "192.168.1.1",
  metadata: { device_type: "mobile", location: "campus_center" },
};
const DOCUMENTED = {
  id: "imp_123abc",
  poster_id: "poster_123abc",
  program_id: "prog_123abc",
  student_id: "user_123abc",
  scanned_at: "2024-01-15T10:30:00Z",
  user_agent: IPHONE,
  ip_address: "192.168.1.1",
  metadata: { device_type: "mobile", location: "campus_center" },
};

/** A program with an ambassador and a poster, under the documented names or others. */
async function campus(as: string, suffix = "123abc"): Promise<void> {
  const program = { id: `prog_${suffix}`, name: "Campus", landing_url: "https://example.com/join" };
  expect((await send("POST", "/api/v1/programs", program, as)).status).toBe(201);
  const user = { id: `user_${suffix}`, first_name: "Sam", last_name: "Taylor", email: "sam@example.com" };
  expect((await send("POST", "/api/v1/users", { ...user, program_id: program.id }, as)).status).toBe(201);
  const poster = { id: `poster_${suffix}`, program_id: program.id, student_id: user.id };
  expect((await send("POST", "/api/v1/posters", poster, as)).status).toBe(201);
}

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Campus")).key;
  expect((await send("PATCH", "/waymark/v1/workspace", { privacy: { ip: "full" } })).status).toBe(200);
  await campus(key);
  const second = { ...FIRST, id: "imp_456def", scanned_at: "2024-01-15T11:15:00Z" };
  expect((await record([second, FIRST])).body).toEqual({ accepted: 2, rejected: [] });
});
afterAll(() => waymark?.stop());

describe("the documented list", () => {
  it("is answered word for word, oldest first", async () => {
    const { status, body } = await send("GET", "/api/v1/impressions?programId=prog_123abc&limit=25");
    expect(status).toBe(200);
    expect(body.impressions[0]).toStrictEqual(DOCUMENTED);
    expect(Object.keys(body.impressions[0])).toEqual(Object.keys(DOCUMENTED));
    expect(body.impressions.map(({ id }: { id: string }) => id)).toEqual(["imp_123abc", "imp_456def"]);
    expect(body.total).toBe(2);
  });

  it("has the newest first when asked for", async () => {
    const { body } = await send("GET", "/api/v1/impressions?order=desc");
    expect(body.impressions.map(({ id }: { id: string }) => id)).toEqual(["imp_456def", "imp_123abc"]);
  });

  it("shows one impression as the bare object", async () => {
    const { status, body } = await send("GET", "/api/v1/impressions/imp_123abc");
    expect([status, body]).toStrictEqual([200, DOCUMENTED]);
  });

  it("filters by program and poster, and is empty for names that nobody has", async () => {
    await campus(key, "other");
    await record([{ ...FIRST, id: "imp_other", poster_id: "poster_other" }]);
    const listed = async (query: string) =>
      (await send("GET", `/api/v1/impressions?${query}`)).body.impressions.map(({ id }: { id: string }) => id);
    expect(await listed("programId=prog_other")).toEqual(["imp_other"]);
    expect(await listed("posterId=poster_123abc")).toEqual(["imp_123abc", "imp_456def"]);
    expect(await listed("programId=prog_123abc&posterId=poster_other")).toEqual([]);
    expect(await listed("programId=prog_nobody")).toEqual([]);
  });

  it("has 50 a page, clamps to 100, and skips by offset", async () => {
    const { key: own } = await waymark.workspace("Pages");
    await campus(own, "pages");
    const many = Array.from({ length: 120 }, (_, n) => ({
      id: `imp_${String(n).padStart(3, "0")}`,
      poster_id: "poster_pages",
      scanned_at: new Date(Date.UTC(2024, 0, 1, 0, n)).toISOString(),
    }));
    await record(many, own);
    const listed = async (query: string) => (await send("GET", `/api/v1/impressions?${query}`, undefined, own)).body;
    expect((await listed("")).impressions).toHaveLength(50);
    expect((await listed("limit=1000")).impressions).toHaveLength(100);
    const page = await listed("limit=25&offset=100");
    expect(page.impressions.map(({ id }: { id: string }) => id)).toEqual(many.slice(100).map(({ id }) => id));
    expect(page.total).toBe(120);
  });

  it.each(["limit=0", "limit=-5", "limit=many", "offset=-1", "order=up"])(
    "refuses %s in its own words",
    async (query) => {
      const answer = await send("GET", `/api/v1/impressions?${query}`);
      expect([answer.status, Object.keys(answer.body)]).toEqual([400, ["error", "message"]]);
      expect(answer.body.error).toBe("Bad Request");
      expect(answer.body.message).toContain(query.split("=")[0]);
    },
  );
});

describe("the documented refusals", () => {
  it.each([undefined, "sk_nobody"])("answers 401 word for word to the key %s", async (stranger) => {
    const answer = await waymark.call("GET", "/api/v1/impressions", { key: stranger });
    expect([answer.status, answer.body]).toStrictEqual([
      401,
      { error: "Unauthorized", message: "Invalid or missing API key" },
    ]);
  });

  it("answers 404 to what nobody has, and to what a neighbour has", async () => {
    const neighbour = await waymark.workspace("Neighbour");
    for (const [id, as] of [
      ["imp_nobody", key],
      ["imp_123abc", neighbour.key],
    ] as const) {
      const answer = await send("GET", `/api/v1/impressions/${id}`, undefined, as);
      expect([answer.status, answer.body.error]).toEqual([404, "Not Found"]);
      expect(answer.body.message).toContain(id);
    }
  });
});

describe("what is kept of an address", () => {
  const kept = async (privacy: object, impression: object) => {
    const { key: own } = await waymark.workspace("Private");
    await send("PATCH", "/waymark/v1/workspace", { privacy }, own);
    await campus(own);
    await record([{ ...FIRST, ...impression }], own);
    return (await send("GET", "/api/v1/impressions/imp_123abc", undefined, own)).body;
  };

  it("is all but the last octet by default, and the user agent", async () => {
    expect(await kept({}, {})).toMatchObject({ ip_address: "192.168.1.0", user_agent: IPHONE });
  });

  it("of IPv6 is the first 48 bits by default", async () => {
    const { ip_address } = await kept({}, { ip_address: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff" });
    expect(ip_address).toBe("2001:db8:aaaa::");
  });

  it("is null where the workspace collects none, and where none is known", async () => {
    expect(await kept({ ip: "none", userAgent: "none" }, {})).toMatchObject({ ip_address: null, user_agent: null });
    expect(await kept({}, { ip_address: undefined, user_agent: undefined })).toMatchObject({
      ip_address: null,
      user_agent: null,
    });
  });

  it("is whole in full", async () => {
    const v6 = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
    expect(await kept({ ip: "full" }, { ip_address: v6 })).toMatchObject({ ip_address: v6 });
  });
});

describe("impressions that are brought in", () => {
  it("are rejected one by one", async () => {
    const { key: own } = await waymark.workspace("Batch");
    await campus(own);
    const good = { poster_id: "poster_123abc" };
    const ahead = new Date(Date.now() + 3_600_000).toISOString();
    const wrong: [object, string][] = [
      [{ poster_id: "poster_nobody" }, "poster_id"],
      [{}, "poster_id"],
      [{ ...good, scanned_at: "soon" }, "scanned_at"],
      [{ ...good, scanned_at: ahead }, "scanned_at"],
      [{ ...good, ip_address: "localhost" }, "ip_address"],
      [{ ...good, id: "a b" }, "id"],
      [{ ...good, metadata: "text" }, "metadata"],
    ];
    const { status, body } = await record([good, ...wrong.map(([item]) => item), good], own);
    expect([status, body.accepted]).toEqual([200, 2]);
    expect(body.rejected.map(({ index }: { index: number }) => index)).toEqual(wrong.map((_, n) => n + 1));
    body.rejected.forEach((rejection: { message: string; code: string }, n: number) => {
      expect(rejection.message).toContain(wrong[n]?.[1]);
      expect(rejection.code).toMatch(/^[A-Z_]+$/);
    });
    expect((await send("GET", "/api/v1/impressions", undefined, own)).body.total).toBe(2);
  });

  it("count once, however often they are sent", async () => {
    const { key: own } = await waymark.workspace("Again");
    await campus(own);
    for (let round = 0; round < 3; round += 1) expect((await record([FIRST, FIRST], own)).body.accepted).toBe(2);
    expect((await send("GET", "/api/v1/impressions", undefined, own)).body.total).toBe(1);
    const { body } = await send("GET", "/waymark/v1/ledger", undefined, own);
    expect(body.total).toMatchObject({ received: 6, accepted: 6, counted: 1, duplicate: 5, balanced: true });
  });

  it("may come as NDJSON, one a line", async () => {
    const { key: own } = await waymark.workspace("Lines");
    await campus(own);
    const lines = [{ ...FIRST }, { poster_id: "poster_nobody" }, { poster_id: "poster_123abc" }].map((line) =>
      JSON.stringify(line),
    );
    const headers = { "content-type": "application/x-ndjson" };
    const { status, body } = await waymark.call("POST", "/api/v1/impressions", {
      key: own,
      headers,
      body: lines.join("\n"),
    });
    expect([status, body]).toMatchObject([200, { accepted: 2, rejected: [{ index: 1 }] }]);
    await waymark.idle();
    expect((await send("GET", "/api/v1/impressions", undefined, own)).body.total).toBe(2);
  });

  it.each([{}, { impressions: [] }, { impressions: {} }])("are refused as a whole as %j", async (body) => {
    const answer = await send("POST", "/api/v1/impressions", body);
    expect([answer.status, answer.body.error]).toEqual([400, "Bad Request"]);
    expect(answer.body.message).toContain("impressions");
  });
});
