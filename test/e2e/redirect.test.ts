import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Redirects")).key;
});
afterAll(() => waymark?.stop());

const scan = (shortId: string, headers: Record<string, string> = {}, method = "GET") =>
  waymark.call(method, `/s/${shortId}`, { headers: { "user-agent": PHONE, ...headers } });
const codeTo = (destination: string | undefined, more: object = {}) => makeCode(waymark, key, { destination, ...more });

/** The scans of a code, those of programs too, once there are so many. */
async function scansOf(code: { id: string }, count: number) {
  return eventually(async () => {
    const path = `/v1/scans?qpr_code_id=${code.id}&include_bots=true`;
    const { body } = await waymark.call("GET", path, { key });
    expect(body.total).toBe(count);
    return body.scans;
  });
}

describe("a scan", () => {
  it("is sent on and appears once, with what the phone told", async () => {
    const code = await codeTo("https://example.com/menu?table=4#top");
    const begun = Date.now();
    const answer = await scan(code.short_id, { "x-forwarded-for": "8.8.8.8" });
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe("https://example.com/menu?table=4#top");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("x-request-id")).toBeTruthy();
    const [seen] = await scansOf(code, 1);
    expect(seen).toMatchObject({
      qpr_code_id: code.id,
      short_id: code.short_id,
      country: "US",
      device: "mobile",
      conversation_started: false,
      conversation_messages: 0,
      metadata: {},
    });
    expect(Date.parse(seen.scanned_at)).toBeGreaterThanOrEqual(begun - 1000);
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body).toMatchObject({ scans_total: 1, scans_unique_devices: 1 });
  });

  it("of the same phone is another scan and the same device", async () => {
    const code = await codeTo("https://example.com");
    for (const ip of ["8.8.8.8", "8.8.8.8", "9.9.9.9"]) await scan(code.short_id, { "x-forwarded-for": ip });
    await scansOf(code, 3);
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body).toMatchObject({ scans_total: 3, scans_unique_devices: 2 });
  });

  it("of a hundred phones at once is a hundred scans", async () => {
    const code = await codeTo("https://example.com");
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) => scan(code.short_id, { "x-forwarded-for": `9.9.9.${n}` })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([302]));
    await scansOf(code, 100);
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body).toMatchObject({ scans_total: 100, scans_unique_devices: 100 });
  });

  it("is counted and identifies no device when the browser asks for privacy", async () => {
    const code = await codeTo("https://example.com");
    await scan(code.short_id, { "sec-gpc": "1" });
    await scansOf(code, 1);
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body).toMatchObject({ scans_total: 1, scans_unique_devices: 0 });
  });

  it("without a user agent is a person's", async () => {
    const code = await codeTo("https://example.com");
    expect((await scan(code.short_id, { "user-agent": "" })).status).toBe(302);
    const [seen] = await scansOf(code, 1);
    expect(seen).not.toHaveProperty("filtered");
  });
});

describe("what is no person", () => {
  const ledger = async () => (await waymark.call("GET", "/waymark/v1/ledger", { key })).body.total;
  const cases: [string, string, string, Record<string, string>][] = [
    ["a HEAD", "head", "HEAD", {}],
    ["a prefetch", "prefetch", "GET", { "sec-purpose": "prefetch" }],
    ["a prerender", "prefetch", "GET", { "sec-purpose": "prefetch;prerender" }],
    ["an old prefetch", "prefetch", "GET", { "x-moz": "prefetch" }],
    ["a preview of WhatsApp", "preview", "GET", { "user-agent": "WhatsApp/2.23.20.0" }],
    [
      "a preview of Slack",
      "preview",
      "GET",
      { "user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)" },
    ],
    [
      "a crawler",
      "isbot",
      "GET",
      { "user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" },
    ],
    ["a program", "isbot", "GET", { "user-agent": "curl/8.5.0" }],
  ];

  it.each(cases)("%s is sent on, recorded as %s, and hidden", async (_case, reason, method, headers) => {
    const code = await codeTo("https://example.com");
    const was = await ledger();
    const answer = await scan(code.short_id, headers, method);
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "https://example.com"]);
    const [seen] = await scansOf(code, 1);
    expect(seen.filtered).toBe(reason);
    const shown = await waymark.call("GET", `/v1/scans?qpr_code_id=${code.id}`, { key });
    expect(shown.body).toMatchObject({ scans: [], total: 0 });
    await waymark.idle();
    const is = await ledger();
    expect(is.filtered[reason]).toBe((was.filtered[reason] ?? 0) + 1);
    expect([is.counted, is.accepted, is.balanced]).toEqual([was.counted, was.accepted + 1, true]);
  });
});

describe("a code that takes nobody on", () => {
  it("says so as a page with 410 when it is paused, and records the scan", async () => {
    const code = await codeTo("https://example.com");
    await waymark.call("PATCH", `/v1/qpr-codes/${code.id}`, { key, body: { status: "paused" } });
    const answer = await scan(code.short_id);
    expect(answer.status).toBe(410);
    expect(answer.headers.get("content-type")).toMatch(/^text\/html/);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const [seen] = await scansOf(code, 1);
    expect(seen).not.toHaveProperty("filtered");
    await waymark.call("PATCH", `/v1/qpr-codes/${code.id}`, { key, body: { status: "active" } });
    expect((await scan(code.short_id)).status).toBe(302);
  });

  it("says so as a page with 404 when nobody knows it", async () => {
    for (const shortId of ["nobody", "a%2Fb", "%ff", "x".repeat(300)]) {
      const answer = await scan(shortId);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
  });

  it("says so as a page with 410 when it is deleted, and the scan is rejected", async () => {
    const code = await codeTo("https://example.com");
    await waymark.call("DELETE", `/v1/qpr-codes/${code.id}`, { key });
    const rejected = async () => (await waymark.call("GET", "/waymark/v1/ledger", { key })).body.total.rejected;
    const was = await rejected();
    const answer = await scan(code.short_id);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([410, "text/html; charset=utf-8"]);
    await eventually(async () => expect(await rejected()).toBe(was + 1));
  });

  it("shows its welcome message as text when it has no destination", async () => {
    const code = await codeTo(undefined, { name: "A & B", welcome_message: "Hi <script>alert(1)</script> & welcome" });
    const answer = await scan(code.short_id);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(answer.text).toContain("Hi &lt;script&gt;alert(1)&lt;/script&gt; &amp; welcome");
    expect(answer.text).not.toContain("<script>alert");
    await scansOf(code, 1);
  });

  it("takes nothing but reading", async () => {
    const code = await codeTo("https://example.com");
    const answer = await scan(code.short_id, {}, "POST");
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS"]);
  });
});

it("leads elsewhere as soon as the change is answered, on other gateways within two seconds", async () => {
  const code = await codeTo("https://example.com/0");
  for (let round = 1; round <= 20; round += 1) {
    const destination = `https://example.com/${round}`;
    await waymark.call("PATCH", `/v1/qpr-codes/${code.id}`, { key, body: { destination } });
    await everywhere(async () => {
      expect((await scan(code.short_id)).headers.get("location")).toBe(destination);
    });
  }
});

/** What must hold at once where there is one gateway, and on each of several within two seconds. */
async function everywhere(check: () => Promise<void>): Promise<void> {
  if (process.env.WAYMARK_TEST_WAY !== "processes") return check();
  await vi.waitFor(check, { timeout: 2_000, interval: 10 });
  await vi.waitFor(check, { timeout: 2_000, interval: 10 });
}
