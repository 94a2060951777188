import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { MILLIS } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
let workspace: string;
const send = (method: string, path: string, body?: unknown) =>
  waymark.call(method, `/analytics/v1${path}`, { key, body });

beforeAll(async () => {
  waymark = await startWaymark();
  ({ key, id: workspace } = await waymark.workspace("Links"));
});
afterAll(() => waymark?.stop());

describe("a link", () => {
  it("is made in the vendor's shape, 64-bit numbers as strings", async () => {
    const { status, body } = await send("POST", "/links", {
      destination: "https://example.com/spring",
      name: "Spring",
      shortlink: "spring26",
      tags: ["spring", "print"],
      metadata: { team: "north" },
      conversionTracking: true,
      waitForQrcode: true,
      customDomainId: "unknown to us",
    });
    expect([status, Object.keys(body), body.workflowSteps]).toEqual([200, ["link", "workflowSteps"], []]);
    const tag = (name: string) => ({
      id: expect.stringMatching(/^tag_/),
      name,
      createdAt: expect.stringMatching(MILLIS),
      updatedAt: expect.stringMatching(MILLIS),
    });
    expect(body.link).toStrictEqual({
      id: expect.any(String),
      name: "Spring",
      shortlink: "spring26",
      entrypoint: `${waymark.url}/s/spring26`,
      destination: "https://example.com/spring",
      metadata: { team: "north" },
      tags: [tag("spring"), tag("print")],
      eventCount: "0",
      qrcodeSignedUrl: `${waymark.url}/qr/spring26.png`,
      workspaceId: workspace,
      conversionTracking: true,
      createdAt: expect.stringMatching(MILLIS),
      updatedAt: expect.stringMatching(MILLIS),
    });
    expect((await send("GET", `/links/${body.link.id}`)).body).toStrictEqual({ link: body.link });
  });

  it("is a code: scans of the one are events of the other", async () => {
    const { body } = await send("POST", "/links", { destination: "https://example.com", shortlink: "both" });
    const code = await waymark.call("GET", `/v1/qpr-codes/${body.link.id}`, { key });
    expect(code.body).toMatchObject({ short_id: "both", destination: "https://example.com", prompt: "" });
    await sendScans(waymark, key, [{ short_id: "both" }, { short_id: "both", user_agent: "Googlebot" }]);
    expect((await send("GET", `/links/${body.link.id}`)).body.link.eventCount).toBe("1");
    await eventually(async () =>
      expect((await send("GET", `/events?linkId=${body.link.id}`)).body.json.totalCount).toBe("1"),
    );
  });

  it("adds the lbid of the event to its destination when conversions are tracked", async () => {
    await send("POST", "/links", {
      destination: "https://example.com/a?b=c",
      shortlink: "track",
      conversionTracking: true,
    });
    const scanned = await waymark.call("GET", "/s/track", { headers: { "user-agent": PHONE } });
    const location = new URL(scanned.headers.get("location") as string);
    expect(location.searchParams.get("b")).toBe("c");
    const lbid = location.searchParams.get("lbid") as string;
    const id = Buffer.from(lbid, "base64url").toString();
    await eventually(async () => expect((await waymark.call("GET", `/v1/scans/${id}`, { key })).status).toBe(200));
    const { body } = await eventually(async () => {
      const answer = await send("GET", "/events?pageSize=1000");
      expect(answer.body.json.events.map(({ id: event }: { id: string }) => event)).toContain(id);
      return answer;
    });
    const event = body.json.events.find((candidate: { id: string }) => candidate.id === id);
    expect(event).toMatchObject({ httpMethod: "HTTP_METHOD_GET", destination: location.href });
    expect(event.traces).toMatchObject([{ eventId: id, stepKind: "redirect", destination: location.href }]);
  });

  it("is changed field by field, deleted with {}, and unknown afterwards", async () => {
    const { body } = await send("POST", "/links", { destination: "https://example.com", tags: ["x"] });
    const path = `/links/${body.link.id}`;
    const changed = await send("PATCH", path, { name: "Renamed", tags: [] });
    expect(changed.body.link).toMatchObject({ name: "Renamed", tags: [], destination: "https://example.com" });
    const deleted = await send("DELETE", path);
    expect([deleted.status, deleted.body]).toStrictEqual([200, {}]);
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const answer = await send(method, path, method === "PATCH" ? {} : undefined);
      expect([answer.status, answer.body.error]).toMatchObject([
        404,
        { code: 404, codeType: "NOT_FOUND", details: [] },
      ]);
    }
  });

  it.each<[object, string]>([
    [{}, "destination"],
    [{ destination: "example" }, "destination"],
    [{ destination: "https://a.example", shortlink: "a b" }, "shortlink"],
    [{ destination: "https://a.example", metadata: { a: 1 } }, "metadata"],
    [{ destination: "https://a.example", tags: "x" }, "tags"],
  ])("is refused with %j", async (body, field) => {
    const answer = await send("POST", "/links", body);
    expect([answer.status, answer.body.error.code, answer.body.error.codeType]).toEqual([400, 400, "INVALID_ARGUMENT"]);
    expect(answer.body.error.message).toContain(field);
    expect(answer.body.error.details[0].field).toContain(field);
  });

  it("with a taken shortlink is a conflict", async () => {
    await send("POST", "/links", { destination: "https://a.example", shortlink: "taken" });
    const answer = await send("POST", "/links", { destination: "https://a.example", shortlink: "taken" });
    expect([answer.status, answer.body.error.codeType]).toEqual([409, "ALREADY_EXISTS"]);
  });
});

describe("many links", () => {
  it("are made all together or not at all", async () => {
    const links = Array.from({ length: 30 }, (_, n) => ({
      destination: `https://example.com/${n}`,
      name: `Bulk ${n}`,
    }));
    const made = await send("POST", "/links/bulk", { links });
    expect([made.status, made.body.links.map(({ name }: { name: string }) => name)]).toEqual([
      200,
      links.map(({ name }) => name),
    ]);
    const total = async () => (await send("GET", "/links")).body.totalCount;
    const was = await total();
    const wrong = await send("POST", "/links/bulk", { links: [...links, { destination: "nowhere" }] });
    expect([wrong.status, wrong.body.error.details[0].field]).toEqual([400, "links[30].destination"]);
    expect(await total()).toBe(was);
  });

  it("can be the whole body; a fault is named from there", async () => {
    const links = [0, 1, 2].map((n) => ({ destination: `https://example.com/${n}`, name: `Batch ${n}` }));
    const made = await send("POST", "/links/batch", links);
    expect([made.status, made.body.links.map(({ name }: { name: string }) => name)]).toEqual([
      200,
      links.map(({ name }) => name),
    ]);
    for (const [body, field] of [
      [[...links, { destination: "nowhere" }], "[3].destination"],
      [[{ destination: "https://a.example", tags: "x" }], "[0].tags"],
      [[], "body"],
      [{ links }, "body"],
      ["text", "body"],
      [undefined, "body"],
    ] as const) {
      const wrong = await send("POST", "/links/batch", body);
      expect([wrong.status, wrong.body.error?.codeType, wrong.body.error?.message]).toEqual([
        400,
        "INVALID_ARGUMENT",
        expect.stringContaining(field),
      ]);
    }
  });

  it("are listed by pages with a total, found by name and by tag", async () => {
    const seen: string[] = [];
    let token = "";
    do {
      const { body } = await send("GET", `/links?search=Bulk&pageSize=12&pageToken=${encodeURIComponent(token)}`);
      expect(body.totalCount).toBe("30");
      seen.push(...body.links.map(({ name }: { name: string }) => name));
      token = body.nextPageToken;
    } while (token !== "");
    expect([seen.length, new Set(seen).size]).toEqual([30, 30]);
    const tagged = await send("GET", "/links?tags=spring");
    expect(tagged.body.links.map(({ shortlink }: { shortlink: string }) => shortlink)).toEqual(["spring26"]);
    const tags = await send("GET", "/tags?search=spr");
    expect(Object.keys(tags.body)).toEqual(["tags", "nextPageToken"]);
    expect(tags.body.tags.map(({ name }: { name: string }) => name)).toEqual(["spring"]);
    const sorted = await send("GET", "/links?sortBy=LINK_SORT_FIELD_EVENT_COUNT&pageSize=1");
    expect(sorted.body.links[0].eventCount).toBe("1");
  });
});

it("a tag that is deleted leaves links and analytics, also where the link was deleted before", async () => {
  const { body } = await send("POST", "/links/bulk", {
    links: ["kept", "gone"].map((id) => ({ id, destination: "https://example.com", tags: ["flyer", "paper"] })),
  });
  const ids = body.links.map(({ id }: { id: string }) => id);
  await sendScans(waymark, key, [{ qpr_code_id: ids[0] }, { qpr_code_id: ids[1] }]);
  const byTag = async () => {
    const range = { startDate: new Date(Date.now() - 3_600_000), endDate: new Date(Date.now() + 3_600_000) };
    const answer = await send("POST", "/analytics/breakdown", { ...range, dimension: "tag" });
    const rows: { code: string; eventCount: number }[] = answer.body.data;
    return rows.filter(({ code }) => code === "flyer" || code === "paper").map((row) => [row.code, row.eventCount]);
  };
  await eventually(async () =>
    expect((await byTag()).sort()).toEqual([
      ["flyer", 2],
      ["paper", 2],
    ]),
  );
  await send("DELETE", "/links/gone");
  const deleted = await send("DELETE", "/tags?name=flyer");
  expect([deleted.status, deleted.body]).toStrictEqual([200, {}]);
  await eventually(async () => expect(await byTag()).toEqual([["paper", 2]]));
  expect((await send("GET", "/links/kept")).body.link.tags.map(({ name }: { name: string }) => name)).toEqual([
    "paper",
  ]);
  const again = await send("DELETE", "/tags?name=flyer");
  expect([again.status, again.body.error.codeType]).toEqual([404, "NOT_FOUND"]);
  const nameless = await send("DELETE", "/tags");
  expect([nameless.status, nameless.body.error.details[0].field]).toEqual([400, "name"]);
});
