import jsqr from "jsqr";
import { PNG } from "pngjs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode } from "./campaign.ts";

let waymark: Waymark;
let key: string;
let code: { id: string; short_id: string; scan_url: string; qr_image_url: string; qr_svg_url: string };

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Pictures")).key;
  code = await makeCode(waymark, key, {});
});
afterAll(() => waymark?.stop());

const decode = (data: Uint8ClampedArray, width: number, height = width) => jsqr.default(data, width, height)?.data;

async function png(url: string) {
  const response = await fetch(url);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/png"]);
  const image = PNG.sync.read(Buffer.from(await response.arrayBuffer()));
  return { image, says: decode(new Uint8ClampedArray(image.data), image.width, image.height) };
}

/** Paints the squares of a picture's path as a renderer does. */
function paint(svg: string, scale: number) {
  const width = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]) * scale;
  const data = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const [, x, y, length] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g))
    for (let row = Number(y) * scale; row < (Number(y) + 1) * scale; row += 1)
      for (let at = Number(x) * scale; at < (Number(x) + Number(length)) * scale; at += 1)
        data.set([0, 0, 0], (row * width + at) * 4);
  return { data, width };
}

it("the PNG says the scan URL", async () => {
  expect((await png(code.qr_image_url)).says).toBe(code.scan_url);
});

it("the SVG says the scan URL", async () => {
  const response = await fetch(code.qr_svg_url);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/svg+xml"]);
  const { data, width } = paint(await response.text(), 6);
  expect(decode(data, width)).toBe(code.scan_url);
});

it.each(["size=64&margin=0&ecc=L", "size=1000", "margin=10&ecc=H", "dark=1b3a5c&light=f5e9da", "dark=%231b3a5c"])(
  "drawn with %s it says the same",
  async (query) => {
    const { image, says } = await png(`${code.qr_image_url}?${query}`);
    expect(says).toBe(code.scan_url);
    const size = Number(new URLSearchParams(query).get("size") ?? 512);
    expect([image.width, image.height]).toEqual([size, size]);
  },
);

it("needs no key, may be used on every page, and is kept by caches under its tag", async () => {
  const first = await fetch(code.qr_image_url);
  const etag = first.headers.get("etag") as string;
  expect(etag).toMatch(/^"[^"]+"$/);
  expect(first.headers.get("cache-control")).toMatch(/public.*max-age=\d+/);
  expect(first.headers.get("access-control-allow-origin")).toBe("*");
  await first.arrayBuffer();
  for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const again = await waymark.call("GET", `/qr/${code.short_id}.png`, { headers: { "if-none-match": tags } });
    expect([tags, again.status, again.text]).toEqual([tags, 304, ""]);
    expect(again.headers.get("etag")).toBe(etag);
  }
  const other = await fetch(`${code.qr_image_url}?size=256`, { headers: { "if-none-match": etag } });
  expect(other.status).toBe(200);
  expect(other.headers.get("etag")).not.toBe(etag);
});

it.each([
  ["size=10", "size"],
  ["size=5000", "size"],
  ["size=big", "size"],
  ["margin=99", "margin"],
  ["ecc=X", "ecc"],
  ["dark=red", "dark"],
  ["light=12345", "light"],
])("refuses %s", async (query, field) => {
  const answer = await waymark.call("GET", `/qr/${code.short_id}.png?${query}`);
  expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "application/problem+json"]);
  expect(answer.body.detail).toContain(field);
});

it.each(["nobody.png", "nobody.svg", "hc9m3r.gif", "hc9m3r", ".png"])("is 404 at /qr/%s", async (file) => {
  expect((await waymark.call("GET", `/qr/${file}`)).status).toBe(404);
});

it("is gone at once when its code is deleted", async () => {
  const gone = await makeCode(waymark, key, {});
  expect((await waymark.call("GET", `/qr/${gone.short_id}.png`)).status).toBe(200);
  await waymark.call("DELETE", `/v1/qpr-codes/${gone.id}`, { key });
  expect((await waymark.call("GET", `/qr/${gone.short_id}.png`)).status).toBe(404);
});
