import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { type Target, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { openDoor, targetOf } from "./fixture/door.ts";

let door: Awaited<ReturnType<typeof openDoor>>;
afterEach(() => door.close());

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";

async function open(target?: Parameters<typeof targetOf>[0], given: Parameters<typeof openDoor>[0] = {}) {
  door = await openDoor(given);
  if (target !== undefined) door.world.targets.set("abc123", targetOf(target));
  return (path = "/s/abc123", init?: RequestInit) => door.get(path, init);
}

describe("a scan of a printed code", () => {
  it("is sent on and never cached", async () => {
    const scan = await open({ destination: "https://example.com/menu?a=1#top" });
    const response = await scan();
    expect(response.status).toBe(302);
    expect(response.headers.get("location")).toBe("https://example.com/menu?a=1#top");
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  it("is recorded for the workspace of the code before it is answered", async () => {
    const at = 1_790_000_000_123;
    const scan = await open(
      { destination: "https://example.com/", parentId: "prog_1", ownerId: "user_1" },
      { now: () => at },
    );
    const headers = {
      "user-agent": IPHONE,
      "x-forwarded-for": "203.0.113.9",
      "accept-language": "de-CH,de;q=0.9",
      "sec-gpc": "1",
      referer: "https://news.example/",
      authorization: "Bearer secret",
    };
    await scan("/s/abc123?utm_source=poster", { headers });
    expect(door.world.touches).toHaveLength(1);
    const [touch] = door.world.touches;
    expect(touch).toMatchObject({
      purpose: Purpose.MARKETING,
      codeId: "qpr_1",
      shortId: "abc123",
      parentId: "prog_1",
      ownerId: "user_1",
      ip: "203.0.113.9",
      userAgent: IPHONE,
      method: "GET",
      query: "utm_source=poster",
      destination: "https://example.com/",
      headers: { "accept-language": "de-CH,de;q=0.9", "sec-gpc": "1", referer: "https://news.example/" },
    });
    expect(touch?.id).toMatch(/^scan_[0-9A-Z]{26}$/);
    expect(touch?.scannedAt && timestampMs(touch.scannedAt)).toBe(at);
    expect(touch?.headers).not.toHaveProperty("authorization");
    expect(door.world.recorders[0]).toMatchObject({ workspace: "acme", keyClass: "internal", test: false });
  });

  it("of a development key's code is a test touch", async () => {
    const scan = await open({ destination: "https://example.com/", test: true });
    await scan();
    expect(door.world.recorders[0]).toMatchObject({ test: true });
  });

  it("by HEAD or a prefetch is sent on and recorded as what it is", async () => {
    const scan = await open({ destination: "https://example.com/" });
    const head = await scan("/s/abc123", { method: "HEAD" });
    await scan("/s/abc123", { headers: { "sec-purpose": "prefetch" } });
    expect([head.status, head.headers.get("location")]).toEqual([302, "https://example.com/"]);
    expect(door.world.touches.map(({ method }) => method)).toEqual(["HEAD", "GET"]);
    expect(door.world.touches[1]?.headers).toMatchObject({ "sec-purpose": "prefetch" });
  });

  it.each([
    ["https://example.com/in", "impression_id", "https://example.com/in?impression_id=ID"],
    ["https://example.com/in?a=1", "impression_id", "https://example.com/in?a=1&impression_id=ID"],
    ["https://example.com/in?#top", "impression_id", "https://example.com/in?impression_id=ID#top"],
  ])("takes its id along: %s with %s", async (destination, touchParameter, expected) => {
    const scan = await open({ destination, touchParameter, purpose: Purpose.AMBASSADOR });
    const location = (await scan()).headers.get("location");
    const id = door.world.touches[0]?.id as string;
    expect(id).toMatch(/^imp_/);
    expect(location).toBe(expected.replace("ID", id));
    expect(door.world.touches[0]?.destination).toBe(location);
  });

  it("takes its id along in base64url as lbid", async () => {
    const scan = await open({ destination: "https://example.com/", touchParameter: "lbid" });
    const location = new URL((await scan()).headers.get("location") as string);
    expect(Buffer.from(location.searchParams.get("lbid") as string, "base64url").toString()).toBe(
      door.world.touches[0]?.id,
    );
  });

  it("writes a destination with letters of all kinds so that a header can hold it", async () => {
    const scan = await open({ destination: "https://example.com/grüße" });
    expect((await scan()).headers.get("location")).toBe("https://example.com/gr%C3%BC%C3%9Fe");
  });

  it.each(["javascript:alert(1)", "data:text/html,hi", "ftp://example.com/", "//example.com", "nonsense"])(
    "never follows %s",
    async (destination) => {
      const scan = await open({ destination, welcomeMessage: "Hello" });
      const response = await scan();
      expect([response.status, response.headers.has("location")]).toEqual([200, false]);
    },
  );
});

describe("routing", () => {
  const rule = (when: object, destination: string, name?: string) => ({ name, when, destination, split: [] });
  const routed = (rules: object[]) =>
    ({ destination: "https://example.com/else", routing: { rules } }) as unknown as Target;

  it("looks at country, device and language, and is recorded with the rule", async () => {
    const rules = [
      rule(
        { country: ["CH"], device: ["mobile"], language: ["de"], days: [] },
        "https://example.com/swiss",
        "Swiss phones",
      ),
    ];
    const scan = await open(routed(rules), { countryOf: (ip) => (ip === "203.0.113.9" ? "CH" : "US") });
    const headers = { "user-agent": IPHONE, "accept-language": "de-CH,fr;q=0.5", "x-forwarded-for": "203.0.113.9" };
    expect((await scan("/s/abc123", { headers })).headers.get("location")).toBe("https://example.com/swiss");
    expect(
      (await scan("/s/abc123", { headers: { ...headers, "x-forwarded-for": "203.0.113.10" } })).headers.get("location"),
    ).toBe("https://example.com/else");
    expect(door.world.touches.map((touch) => touch.rule)).toEqual(["Swiss phones", ""]);
  });

  it("sends one device the same way each time", async () => {
    const split = [
      { weight: 1, destination: "https://example.com/a" },
      { weight: 1, destination: "https://example.com/b" },
    ];
    const scan = await open(routed([{ name: "", when: undefined, destination: "", split }]));
    const from = async (ip: string) =>
      (await scan("/s/abc123", { headers: { "x-forwarded-for": ip } })).headers.get("location");
    const ways = await Promise.all(Array.from({ length: 20 }, (_, i) => from(`203.0.113.${i}`)));
    expect(new Set(ways).size).toBe(2);
    expect(await from("203.0.113.7")).toBe(ways[7]);
  });
});

describe("a code that does not lead on", () => {
  it("says its welcome message, as text", async () => {
    const scan = await open({ name: "Lobby", welcomeMessage: "<script>alert(1)</script> & welcome" });
    const response = await scan();
    const html = await response.text();
    expect(response.status).toBe(200);
    expect(html).toContain("&lt;script&gt;alert(1)&lt;/script&gt; &amp; welcome");
    expect(html).not.toContain("<script>");
    expect(door.world.touches).toHaveLength(1);
  });

  it.each([
    ["paused", TargetStatus.PAUSED],
    ["archived", TargetStatus.ARCHIVED],
    ["deleted", TargetStatus.DELETED],
  ])("because it is %s is 410, a page, and given to intake", async (_says, status) => {
    const scan = await open({ destination: "https://example.com/", status });
    const response = await scan();
    expect(response.status).toBe(410);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(door.world.touches).toHaveLength(1);
  });

  it.each(["/s/unknown", "/s/%F0%9F%98%80", "/s/%zz", `/s/${"x".repeat(200)}`])(
    "because there is none is 404: %s",
    async (path) => {
      const scan = await open({});
      expect((await scan(path)).status).toBe(404);
      expect(door.world.touches).toHaveLength(0);
    },
  );

  it("takes GET and HEAD alone", async () => {
    const scan = await open({ destination: "https://example.com/" });
    const response = await scan("/s/abc123", { method: "POST" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
  });
});

describe("when a part is down", () => {
  const down = () => Promise.reject(new ConnectError("10.0.0.7 refused", Code.Unavailable));

  it("a redirect does not fail, and its touch is recorded later under the same id", async () => {
    const scan = await open({ destination: "https://example.com/", touchParameter: "t" });
    door.world.failing.set("recordTouches", down);
    const response = await scan();
    expect(response.status).toBe(302);
    expect(door.pendingTouches()).toBe(1);
    door.world.failing.clear();
    await expect.poll(() => door.world.touches.length).toBe(1);
    expect(response.headers.get("location")).toContain(door.world.touches[0]?.id);
    expect(door.pendingTouches()).toBe(0);
  });

  it("a redirect does not wait for a slow intake", async () => {
    const scan = await open({ destination: "https://example.com/" });
    const { promise, resolve } = Promise.withResolvers<never>();
    door.world.failing.set("recordTouches", () => promise);
    const begun = performance.now();
    expect((await scan()).status).toBe(302);
    expect(performance.now() - begun).toBeLessThan(1_000);
    resolve(undefined as never);
  });

  it("an unknown code is a page that says to come back", async () => {
    const scan = await open();
    door.world.failing.set("resolveShortId", down);
    const response = await scan();
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await response.text()).not.toContain("10.0.0.7");
  });
});
