import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";

let waymark: Waymark;
let key: string;
let code: { id: string; short_id: string };

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Batches")).key;
});
beforeEach(async () => {
  code = await makeCode(waymark, key, {});
});
afterAll(() => waymark?.stop());

const post = (body: unknown, headers: Record<string, string> = {}) =>
  waymark.call("POST", "/v1/scans", { key, body, headers });
const total = async (): Promise<number> => {
  await waymark.idle();
  return (await waymark.call("GET", `/v1/scans?qpr_code_id=${code.id}`, { key })).body.total;
};
const ndjson = { "content-type": "application/x-ndjson" };

describe("a batch with wrong items", () => {
  const hour = 3_600_000;
  const wrong: [string, () => unknown, string, string][] = [
    ["a time that is none", () => ({ scanned_at: "yesterday" }), "INVALID_FIELD", "scanned_at"],
    ["a time without zone", () => ({ scanned_at: "2026-03-20T15:30:00" }), "INVALID_FIELD", "scanned_at"],
    ["a time ahead", () => ({ scanned_at: new Date(Date.now() + hour).toISOString() }), "INVALID_FIELD", "scanned_at"],
    ["an unknown code", () => ({ qpr_code_id: "qpr_nobody" }), "CODE_NOT_FOUND", "qpr_code_id"],
    ["an unknown short id", () => ({ qpr_code_id: undefined, short_id: "zzzzzz" }), "CODE_NOT_FOUND", "short_id"],
    ["no code", () => ({ qpr_code_id: undefined }), "INVALID_FIELD", "qpr_code_id"],
    ["an id with a space", () => ({ id: "a b" }), "INVALID_FIELD", "id"],
    ["an id of 65 characters", () => ({ id: "x".repeat(65) }), "INVALID_FIELD", "id"],
    ["a number as id", () => ({ id: 7 }), "INVALID_FIELD", "id"],
    ["an address that is none", () => ({ ip: "not an ip" }), "INVALID_FIELD", "ip"],
    ["a device of no kind", () => ({ device: "toaster" }), "INVALID_FIELD", "device"],
    ["a country of three letters", () => ({ country: "USA" }), "INVALID_FIELD", "country"],
    ["messages below zero", () => ({ conversation_messages: -1 }), "INVALID_FIELD", "conversation_messages"],
    ["half a message", () => ({ conversation_messages: 1.5 }), "INVALID_FIELD", "conversation_messages"],
    ["a word for a truth", () => ({ conversation_started: "yes" }), "INVALID_FIELD", "conversation_started"],
    ["a list as metadata", () => ({ metadata: [1] }), "INVALID_FIELD", "metadata"],
    ["too much metadata", () => ({ metadata: { text: "x".repeat(17_000) } }), "INVALID_FIELD", "metadata"],
  ];

  it("lists each of them with its index, reason and field, and takes the others", async () => {
    const scans = wrong.flatMap(([, bad], index) => [
      { id: `${code.id}-good-${index}`, qpr_code_id: code.id },
      { id: `${code.id}-bad-${index}`, qpr_code_id: code.id, ...(bad() as object) },
    ]);
    const { status, body } = await post({ scans });
    expect(status).toBe(200);
    expect(body.accepted).toBe(wrong.length);
    expect(body.rejected.map(({ index, code: reason }: { index: number; code: string }) => [index, reason])).toEqual(
      wrong.map(([, , reason], index) => [index * 2 + 1, reason]),
    );
    body.rejected.forEach(({ message }: { message: string }, index: number) => {
      expect(message, wrong[index]?.[0]).toContain(wrong[index]?.[3]);
    });
    expect(await total()).toBe(wrong.length);
  });

  it("takes an item that is no object for a wrong one", async () => {
    const { status, body } = await post({
      scans: [{ qpr_code_id: code.id }, "scan", null, 7, [], { qpr_code_id: code.id }],
    });
    expect([status, body.accepted]).toEqual([200, 2]);
    expect(body.rejected.map(({ index }: { index: number }) => index)).toEqual([1, 2, 3, 4]);
    expect(await total()).toBe(2);
  });

  it("takes a time that is up to ten minutes ahead", async () => {
    const ahead = new Date(Date.now() + 9 * 60_000).toISOString();
    expect((await post({ scans: [{ qpr_code_id: code.id, scanned_at: ahead }] })).body.accepted).toBe(1);
  });
});

describe("the same ids again", () => {
  it("are accepted and count nothing", async () => {
    const scans = Array.from({ length: 20 }, (_, index) => ({ id: `${code.id}-${index}`, qpr_code_id: code.id }));
    for (let round = 0; round < 3; round += 1) expect((await sendScans(waymark, key, scans)).body.accepted).toBe(20);
    expect(await total()).toBe(20);
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body.scans_total).toBe(20);
    expect((await waymark.call("GET", `/v1/qpr-codes/${code.id}`, { key })).body.scans_total).toBe(20);
  });

  it("count once within one batch, and when they are sent at the same time", async () => {
    const twice = { id: `${code.id}-twice`, qpr_code_id: code.id };
    expect((await post({ scans: [twice, twice, twice] })).body).toEqual({ accepted: 3, rejected: [] });
    const scans = Array.from({ length: 50 }, (_, index) => ({ id: `${code.id}-${index}`, qpr_code_id: code.id }));
    const answers = await Promise.all(Array.from({ length: 8 }, () => post({ scans })));
    expect(answers.map(({ body }) => body.accepted)).toEqual(Array.from({ length: 8 }, () => 50));
    expect(await total()).toBe(51);
  });

  it("keep the scan that came first", async () => {
    await sendScans(waymark, key, [{ id: `${code.id}-a`, qpr_code_id: code.id, country: "US" }]);
    await sendScans(waymark, key, [{ id: `${code.id}-a`, qpr_code_id: code.id, country: "FR" }]);
    expect((await waymark.call("GET", `/v1/scans/${code.id}-a`, { key })).body.country).toBe("US");
  });

  it("are another scan in another workspace", async () => {
    const other = await waymark.workspace("Other");
    const theirs = await makeCode(waymark, other.key, {});
    await sendScans(waymark, key, [{ id: `${code.id}-x`, qpr_code_id: code.id }]);
    await sendScans(waymark, other.key, [{ id: `${code.id}-x`, qpr_code_id: theirs.id }]);
    expect((await waymark.call("GET", "/v1/scans", { key: other.key })).body.total).toBe(1);
    expect(await total()).toBe(1);
  });
});

describe("NDJSON", () => {
  it("takes a scan a line, the last line with or without an end, and empty lines as nothing", async () => {
    const lines = Array.from({ length: 1_500 }, (_, index) =>
      JSON.stringify({ id: `${code.id}-${index}`, qpr_code_id: code.id }),
    );
    const { status, body } = await post(`${lines.join("\n")}\n\n`, ndjson);
    expect([status, body]).toEqual([200, { accepted: 1_500, rejected: [] }]);
    expect((await post(lines.slice(0, 2).join("\r\n"), ndjson)).body.accepted).toBe(2);
    expect(await total()).toBe(1_500);
  });

  it("rejects a wrong line alone, with its index", async () => {
    const fine = JSON.stringify({ qpr_code_id: code.id });
    const { status, body } = await post([fine, '{"qpr_code_id":', '{"scanned_at":"no"}', fine].join("\n"), ndjson);
    expect([status, body.accepted]).toEqual([200, 2]);
    expect(body.rejected.map(({ index }: { index: number }) => index)).toEqual([1, 2]);
    expect(await total()).toBe(2);
  });

  it("may be packed", async () => {
    const packed = gzipSync(JSON.stringify({ qpr_code_id: code.id }));
    const response = await fetch(`${waymark.url}/v1/scans`, {
      method: "POST",
      headers: { ...ndjson, authorization: `Bearer ${key}`, "content-encoding": "gzip" },
      body: packed,
    });
    expect([response.status, await response.json()]).toEqual([200, { accepted: 1, rejected: [] }]);
  });
});

describe("a wrong envelope", () => {
  const fine = () => ({ qpr_code_id: code.id });
  it.each<[string, () => unknown, RegExp]>([
    ["an empty object", () => ({}), /scans/],
    ["scans that are no list", () => ({ scans: fine() }), /scans/],
    ["no scan", () => ({ scans: [] }), /scans/],
    ["1,001 scans", () => ({ scans: Array.from({ length: 1_001 }, fine) }), /scans/],
    ["a list", () => [fine()], /object/],
    ["a text", () => '"scan"', /object/],
    ["broken JSON", () => `{"scans":[{"qpr_code_id":"${code.id}"}`, /line 1|position|column/],
    ["nothing", () => undefined, /scans|body/],
  ])("of %s is refused as a whole", async (_case, body, says) => {
    const answer = await post(body());
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.body.detail).toMatch(says);
    expect(await total()).toBe(0);
  });

  it("of 17 MiB is refused with 413", async () => {
    const answer = await post({ scans: [{ qpr_code_id: code.id, metadata: { text: "x".repeat(17 << 20) } }] });
    expect([answer.status, answer.body.code]).toEqual([413, "BODY_TOO_LARGE"]);
    expect(await total()).toBe(0);
  });

  it("of another type is refused with 415", async () => {
    const answer = await post("<scans/>", { "content-type": "application/xml" });
    expect([answer.status, answer.body.code]).toEqual([415, "CONTENT_TYPE_UNSUPPORTED"]);
  });
});

describe("a conversation", () => {
  const say = (body: unknown, id = `${code.id}-talk`) =>
    waymark.call("POST", `/v1/scans/${id}/conversation`, { key, body });

  it("is opened by its first message, and its messages never go down", async () => {
    await sendScans(waymark, key, [{ id: `${code.id}-talk`, qpr_code_id: code.id }]);
    const first = await say({ messages: 6, completed: false });
    expect([first.status, first.body]).toMatchObject([
      200,
      { id: `${code.id}-talk`, conversation_started: true, conversation_messages: 6 },
    ]);
    expect((await say({ messages: 2 })).body.conversation_messages).toBe(6);
    expect((await say({ messages: 9, completed: true })).body.conversation_messages).toBe(9);
    await waymark.idle();
    const stored = await waymark.call("GET", `/v1/scans/${code.id}-talk`, { key });
    expect(stored.body).toMatchObject({ conversation_started: true, conversation_messages: 9 });
    const { body } = await waymark.call("GET", `/v1/qpr-codes/${code.id}/analytics`, { key });
    expect(body).toMatchObject({ scans_total: 1, conversation_rate: 1, avg_messages_per_conversation: 9 });
  });

  it("of an unknown scan is 404, and messages below zero are 400", async () => {
    expect((await say({ messages: 1 }, "scan_nobody")).status).toBe(404);
    const answer = await say({ messages: -1 });
    expect([answer.status, answer.body.code]).toEqual([400, "INVALID_FIELD"]);
    expect(answer.body.detail).toContain("messages");
  });
});
