import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Exports"));
  const code = await makeCode(waymark, key, { id: "exported" });
  const scans = Array.from({ length: 1000 }, (_, n) => ({
    id: `scan_${n}`,
    qpr_code_id: code.id,
    device_id: `d${n % 90}`,
  }));
  for (let batch = 0; batch < 3; batch += 1)
    await sendScans(
      waymark,
      key,
      scans.map((scan) => ({ ...scan, id: `${scan.id}_${batch}` })),
    );
  await eventually(async () => {
    const { body } = await waymark.call("GET", "/analytics/v1/metrics/events", { key });
    expect(body.totalEvents).toBe(3_000);
  });
});
afterAll(() => waymark.stop());

// biome-ignore lint/suspicious/noExplicitAny: the export as the API shows it
async function finished(body: object): Promise<any> {
  const made = await waymark.call("POST", "/analytics/v1/exports", { key, body });
  expect(made.status).toBe(200);
  let last: unknown;
  await eventually(async () => {
    const { body: now } = await waymark.call("GET", `/analytics/v1/exports/${made.body.id}`, { key });
    last = now;
    expect(now.status).toBe("DONE");
  });
  return last;
}

async function fetchFile(path: string, headers: Record<string, string> = {}, method = "GET") {
  const answer = await fetch(`${waymark.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...headers },
  });
  return { status: answer.status, headers: answer.headers, bytes: Buffer.from(await answer.arrayBuffer()) };
}

it("an export is downloaded whole, in parts, and not again when it is known", async () => {
  const made = await finished({ format: "NDJSON", compression: "NONE" });
  expect(made).toMatchObject({ rows: "3000", totalRows: "3000", format: "NDJSON", progress: 1 });
  const [file] = made.files;
  expect(file).toMatchObject({ n: 1, rows: "3000", url: expect.stringMatching(/^http/) });
  const path = new URL(file.url).pathname;
  const whole = await fetchFile(path);
  expect(whole.status).toBe(200);
  expect(whole.headers.get("accept-ranges")).toBe("bytes");
  expect(whole.headers.get("content-disposition")).toContain(file.name);
  expect(String(whole.bytes.length)).toBe(file.bytes);
  expect(whole.bytes.length).toBeGreaterThan(1024 * 1024); // more than one piece
  expect(createHash("sha256").update(whole.bytes).digest("hex")).toBe(file.sha256);
  expect(whole.bytes.toString().trimEnd().split("\n")).toHaveLength(3_000);
  const etag = whole.headers.get("etag") ?? "";
  const total = whole.bytes.length;
  const parts: [string, number, number][] = [
    ["bytes=0-0", 0, 1],
    ["bytes=10-99", 10, 100],
    ["bytes=1000-", 1000, total],
    ["bytes=-7", total - 7, total],
    [`bytes=${total - 1}-${total + 100}`, total - 1, total],
  ];
  for (const [range, from, to] of parts) {
    const part = await fetchFile(path, { range, "if-range": etag });
    expect([range, part.status]).toEqual([range, 206]);
    expect(part.headers.get("content-range")).toBe(`bytes ${from}-${to - 1}/${total}`);
    expect(part.bytes.equals(whole.bytes.subarray(from, to))).toBe(true);
  }
  expect((await fetchFile(path, { range: `bytes=${total}-` })).status).toBe(416);
  expect((await fetchFile(path, { range: "bytes=0-9", "if-range": '"other"' })).bytes.length).toBe(total);
  expect((await fetchFile(path, { "if-none-match": etag })).status).toBe(304);
  const head = await fetchFile(path, {}, "HEAD");
  expect([head.status, head.headers.get("content-length"), head.bytes.length]).toEqual([200, String(total), 0]);
});

it("a compressed one is what it says, and refusals name what is wrong", async () => {
  const made = await finished({ format: "CSV", compression: "GZIP", fields: ["id", "scannedAt"] });
  const { status, bytes } = await fetchFile(new URL(made.files[0].url).pathname);
  expect([status, bytes.subarray(0, 2).toString("hex")]).toEqual([200, "1f8b"]);
  expect(gunzipSync(bytes).toString().trimEnd().split("\n")).toHaveLength(3_001);
  const call = (body: object) => waymark.call("POST", "/analytics/v1/exports", { key, body });
  const wrong = await call({ format: "XLSX" });
  expect([wrong.status, wrong.body.error.message]).toEqual([400, expect.stringContaining("format")]);
  expect((await call({ fields: ["id", "nothing"] })).status).toBe(400);
  expect((await fetchFile("/analytics/v1/exports/none/files/1")).status).toBe(404);
  expect((await fetchFile(`/analytics/v1/exports/${made.id}/files/9`)).status).toBe(404);
  const { key: other } = await waymark.workspace("Elsewhere");
  expect((await waymark.call("GET", `/analytics/v1/exports/${made.id}`, { key: other })).status).toBe(404);
});

it("a copy is kept by its cursor", async () => {
  const ids = new Set<string>();
  let cursor = "";
  for (let hasMore = true; hasMore; ) {
    const { status, body } = await waymark.call("GET", `/analytics/v1/sync?limit=700&cursor=${cursor}`, { key });
    expect(status).toBe(200);
    for (const item of body.changes) ids.add(item.id);
    ({ cursor, hasMore } = body);
  }
  expect(ids.size).toBe(3_000);
  const { body: nothing } = await waymark.call("GET", `/analytics/v1/sync?cursor=${cursor}`, { key });
  expect(nothing.changes).toEqual([]);
  await sendScans(waymark, key, [{ id: "late", qpr_code_id: "exported", scanned_at: "2026-01-01T00:00:00Z" }]);
  await eventually(async () => {
    const { body } = await waymark.call("GET", `/analytics/v1/sync?cursor=${cursor}`, { key });
    expect(body.changes).toMatchObject([{ kind: "EVENT", op: "UPSERT", id: "late" }]);
  });
  const { key: other } = await waymark.workspace("Another");
  expect((await waymark.call("GET", `/analytics/v1/sync?cursor=${cursor}`, { key: other })).status).toBe(400);
});
