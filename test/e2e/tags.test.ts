import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";
import { HOUSE_KEYS, MILLIS, makeTag } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown, as: string | undefined = key) =>
  waymark.call(method, path, { key: as, body });
const look = (encryptedId: string, headers: Record<string, string> = {}) =>
  waymark.call("GET", `/api/v1/scan/${encryptedId}`, { headers: { "user-agent": PHONE, ...headers } });

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Jane")).key;
});
afterAll(() => waymark?.stop());

describe("the documented scan", () => {
  it("is answered word for word, to anyone", async () => {
    const { encryptedId } = await makeTag(waymark, key, HOUSE_KEYS);
    const { status, body } = await look(encryptedId);
    expect([status, body]).toStrictEqual([
      200,
      {
        success: true,
        data: {
          tagId: "tag_abc123",
          itemName: "House Keys",
          description: "Set of 3 keys on a blue lanyard",
          ownerName: "Jane",
          status: "LOST",
          lostMessage: "Please help me find my keys!",
          reward: 25.0,
          tagType: "GENERAL",
          photos: [{ url: "https://cdn.qriotag.com/photos/pht_001.jpg", isPrimary: true }],
          contactEnabled: true,
          emergencyAvailable: false,
        },
      },
    ]);
  });

  it("may be read by a page of any origin", async () => {
    const { encryptedId } = await makeTag(waymark, key, {});
    const answer = await look(encryptedId, { origin: "https://anyone.example" });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  });

  it("has null for what the owner did not say", async () => {
    const { encryptedId } = await makeTag(waymark, key, { lostMessage: "Not lost" });
    expect((await look(encryptedId)).body.data).toMatchObject({
      description: null,
      status: "ACTIVE",
      lostMessage: null,
      reward: null,
      photos: [],
    });
  });

  it.each(["PENDING_SETUP", "DEACTIVATED", "EXPIRED", "private"])(
    "of a tag that is %s shows no profile",
    async (state) => {
      const full = { ...HOUSE_KEYS, id: undefined };
      const tag = await makeTag(waymark, key, {
        ...full,
        status: state === "PENDING_SETUP" ? state : "LOST",
        isPrivate: state === "private",
      });
      if (state === "DEACTIVATED" || state === "EXPIRED")
        expect((await send("PATCH", `/api/v1/tags/${tag.id}`, { status: state })).status).toBe(200);
      const { status, body } = await look(tag.encryptedId);
      expect([status, body.data]).toStrictEqual([
        200,
        {
          tagId: tag.id,
          itemName: null,
          description: null,
          ownerName: null,
          status: state === "private" ? "LOST" : state,
          lostMessage: null,
          reward: null,
          tagType: "GENERAL",
          photos: [],
          contactEnabled: state === "private",
          emergencyAvailable: false,
        },
      ]);
    },
  );

  it("of an id that nobody printed is 404, all of them alike", async () => {
    const gone = await makeTag(waymark, key, {});
    expect((await send("DELETE", `/api/v1/tags/${gone.id}`)).status).toBe(204);
    const { encryptedId } = await makeTag(waymark, key, {});
    const flipped = `${encryptedId.slice(0, -3)}${encryptedId.at(-3) === "A" ? "B" : "A"}${encryptedId.slice(-2)}`;
    const answers = await Promise.all(
      [gone.encryptedId, flipped, "aGVsbG8td29ybGQ", "x", "tag_abc123"].map((id) => look(id)),
    );
    for (const { status, body } of answers) {
      expect(status).toBe(404);
      expect(body).toMatchObject({ success: false, error: { code: "NOT_FOUND" } });
      expect(Object.keys(body)).toEqual(["success", "error"]);
    }
  });
});

describe("a tag", () => {
  it("is answered to its owner with all that there is", async () => {
    const { status, body } = await send("POST", "/api/v1/tags", { ...HOUSE_KEYS, id: "tag_full" });
    expect(status).toBe(201);
    const { encryptedId, createdAt, updatedAt, ...rest } = body.data;
    expect(body.success).toBe(true);
    expect(encryptedId).toMatch(/^[A-Za-z0-9_-]{20,}$/);
    expect([createdAt, updatedAt]).toEqual([expect.stringMatching(MILLIS), createdAt]);
    expect(rest).toStrictEqual({
      ...HOUSE_KEYS,
      id: "tag_full",
      scanUrl: `${waymark.url}/scan/${encryptedId}`,
      qrImageUrl: `${waymark.url}/api/v1/scan/${encryptedId}/qr`,
      isPrivate: false,
      emergencyAvailable: false,
      expiresAt: null,
    });
    expect((await send("GET", "/api/v1/tags/tag_full")).body).toStrictEqual(body);
    const page = await fetch(rest.scanUrl);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect((await fetch(rest.qrImageUrl)).headers.get("content-type")).toBe("image/png");
  });

  it("is listed newest first by pages", async () => {
    const { key: own } = await waymark.workspace("Lister");
    for (let n = 0; n < 12; n += 1)
      await makeTag(waymark, own, { itemName: `Tag ${n}`, status: n < 2 ? "LOST" : "ACTIVE" });
    const list = async (query: string) => (await send("GET", `/api/v1/tags${query}`, undefined, own)).body;
    const first = await list("");
    expect(first).toMatchObject({ success: true, meta: { total: 12, page: 1, totalPages: 2 } });
    expect(first.data.map(({ itemName }: { itemName: string }) => itemName)).toEqual(
      Array.from({ length: 10 }, (_, n) => `Tag ${11 - n}`),
    );
    expect((await list("?page=2")).data).toHaveLength(2);
    expect(await list("?page=9")).toStrictEqual({
      success: true,
      data: [],
      meta: { total: 12, page: 9, totalPages: 2 },
    });
    expect((await list("?status=LOST&limit=1")).meta).toEqual({ total: 2, page: 1, totalPages: 2 });
  });

  it("follows the documented steps of its status and no others", async () => {
    const steps = [
      ["LOST", 200],
      ["STOLEN", 400],
      ["FOUND", 200],
      ["LOST", 400],
      ["ACTIVE", 200],
      ["STOLEN", 200],
      ["LOST", 400],
      ["ACTIVE", 200],
      ["PENDING_SETUP", 400],
      ["DEACTIVATED", 200],
      ["LOST", 400],
      ["ACTIVE", 200],
      ["EXPIRED", 200],
      ["ACTIVE", 200],
    ] as const;
    const tag = await makeTag(waymark, key, {});
    let stands = "ACTIVE";
    for (const [status, answered] of steps) {
      const answer = await send("PATCH", `/api/v1/tags/${tag.id}`, { status });
      expect([stands, status, answer.status]).toEqual([stands, status, answered]);
      if (answered === 200) stands = status;
      else
        expect(answer.body.error).toMatchObject({
          code: "VALIDATION_ERROR",
          details: { status: [expect.any(String)] },
        });
      expect((await send("GET", `/api/v1/tags/${tag.id}`)).body.data.status).toBe(stands);
    }
  });

  it("expires by itself", async () => {
    const expiresAt = new Date(Date.now() + 400).toISOString();
    const tag = await makeTag(waymark, key, { expiresAt });
    expect(tag).toMatchObject({ status: "ACTIVE", expiresAt });
    await eventually(async () => expect((await look(tag.encryptedId)).body.data.status).toBe("EXPIRED"));
    expect((await send("GET", `/api/v1/tags/${tag.id}`)).body.data.status).toBe("EXPIRED");
  });

  it("keeps its printed code through every change, and null clears", async () => {
    const tag = await makeTag(waymark, key, { ...HOUSE_KEYS, id: undefined });
    const { body } = await send("PATCH", `/api/v1/tags/${tag.id}`, {
      itemName: "Car keys",
      description: null,
      reward: null,
      photos: null,
      lostMessage: null,
    });
    expect(body.data).toMatchObject({
      encryptedId: tag.encryptedId,
      itemName: "Car keys",
      ownerName: "Jane",
      description: null,
      reward: null,
      photos: [],
      lostMessage: null,
    });
  });

  it.each<[object, string]>([
    [{ itemName: undefined }, "itemName"],
    [{ ownerName: "" }, "ownerName"],
    [{ itemName: "x".repeat(121) }, "itemName"],
    [{ tagType: "BANANA" }, "tagType"],
    [{ status: "STOLEN" }, "status"],
    [{ reward: { amount: -1 } }, "reward.amount"],
    [{ reward: { amount: 1, currency: "POTATO" } }, "reward.currency"],
    [{ photos: [{ url: "javascript:alert(1)" }] }, "photos[0].url"],
    [{ contactEnabled: "yes" }, "contactEnabled"],
    [{ expiresAt: "never" }, "expiresAt"],
  ])("is refused with %j", async (wrong, field) => {
    const { status, body } = await send("POST", "/api/v1/tags", { itemName: "A", ownerName: "B", ...wrong });
    expect(status).toBe(400);
    expect(body).toMatchObject({ success: false, error: { code: "VALIDATION_ERROR", message: "Invalid input data" } });
    expect(Object.keys(body.error.details)).toEqual([field]);
    expect(body.error.details[field][0]).toContain(field);
  });

  it("of a neighbour is as unknown as one that nobody has", async () => {
    const neighbour = await waymark.workspace("Neighbour");
    const tag = await makeTag(waymark, key, {});
    for (const [id, as] of [
      ["tag_nobody", key],
      [tag.id, neighbour.key],
    ] as const) {
      const { status, body } = await send("GET", `/api/v1/tags/${id}`, undefined, as);
      expect([status, body]).toStrictEqual([
        404,
        { success: false, error: { code: "NOT_FOUND", message: `Tag with id '${id}' not found` } },
      ]);
    }
  });
});

describe("a scan of a tag", () => {
  it("is told to its owner with time and coarse place, and to nobody else", async () => {
    const { key: own } = await waymark.workspace("Told");
    const tag = await makeTag(waymark, own, { status: "LOST" });
    await look(tag.encryptedId, { "x-forwarded-for": "8.8.8.8" });
    const { body } = await eventually(async () => {
      const answer = await send("GET", `/api/v1/tags/${tag.id}/scans`, undefined, own);
      expect(answer.body.meta).toEqual({ total: 1, page: 1, totalPages: 1 });
      return answer;
    });
    expect(Object.keys(body.data[0])).toEqual(["id", "scannedAt", "country", "region", "city"]);
    expect(body.data[0]).toMatchObject({ scannedAt: expect.stringMatching(MILLIS), country: "US" });
    const notices = await send("GET", "/api/v1/notifications?read=false", undefined, own);
    const [notice] = notices.body.data;
    expect(Object.keys(notice)).toEqual(["id", "type", "title", "body", "read", "data", "createdAt"]);
    expect(notice).toMatchObject({ type: "TAG_SCANNED", read: false, data: { tagId: tag.id } });
    await send("PATCH", `/api/v1/notifications/${notice.id}`, { read: true }, own);
    expect((await send("GET", "/api/v1/notifications?read=false", undefined, own)).body.meta.total).toBe(0);
  });

  it("gives no notice while the tag is with its owner", async () => {
    const { key: own } = await waymark.workspace("Calm");
    const tag = await makeTag(waymark, own, {});
    await look(tag.encryptedId);
    await eventually(async () =>
      expect((await send("GET", `/api/v1/tags/${tag.id}/scans`, undefined, own)).body.meta.total).toBe(1),
    );
    expect((await send("GET", "/api/v1/notifications", undefined, own)).body.meta.total).toBe(0);
  });

  it("by a program is not shown", async () => {
    const tag = await makeTag(waymark, key, { status: "LOST" });
    await look(tag.encryptedId, { "user-agent": "WhatsApp/2.23" });
    await look(tag.encryptedId, { "user-agent": "" });
    await eventually(async () => expect((await send("GET", `/api/v1/tags/${tag.id}/scans`)).body.meta.total).toBe(1));
  });
});
