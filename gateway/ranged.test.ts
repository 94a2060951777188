import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { afterEach, expect, it } from "vitest";
import { exchangeOpener } from "./exchange.ts";
import { sendRanged } from "./ranged.ts";

const FILE = Buffer.from(Array.from({ length: 2_500_000 }, (_, n) => n % 251));
const ETAG = '"one"';

let app: FastifyInstance;
afterEach(() => app.close());

/** A server of one file; `etagAt` is its tag when a piece is asked for. */
async function open(etagAt: (from: number) => string = () => ETAG) {
  const asked: number[] = [];
  const opener = exchangeOpener({ ipOf: () => "", isSecure: false, stopping: new AbortController().signal });
  app = Fastify({ forceCloseConnections: true, exposeHeadRoutes: false });
  app.all("/", (request, reply) => {
    const fetch = async (from: number, to: number) => {
      asked.push(to - from + 1);
      const data = FILE.subarray(from, to + 1);
      const about = { contentType: "text/csv", disposition: 'attachment; filename="a.csv"' };
      return { ...about, data, total: FILE.length, etag: etagAt(from) };
    };
    sendRanged(opener(request, reply), fetch).catch((error) => reply.status(503).send(String(error)));
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`;
  return { asked, get: (headers: Record<string, string> = {}, method = "GET") => fetch(url, { headers, method }) };
}

it("a long file comes whole, in pieces of a MiB at most", async () => {
  const { asked, get } = await open();
  const answer = await get();
  expect(Buffer.from(await answer.arrayBuffer()).equals(FILE)).toBe(true);
  expect(answer.headers.get("content-length")).toBe(String(FILE.length));
  expect(answer.headers.get("content-disposition")).toBe('attachment; filename="a.csv"');
  expect([asked.length, Math.max(...asked)]).toEqual([4, 1024 * 1024]);
});

const LAST = FILE.length - 1;

it.each([
  ["bytes=0-0", 0, 0],
  ["bytes=1000000-2200000", 1_000_000, 2_200_000],
  [`bytes=${LAST}-`, LAST, LAST],
  ["bytes=-10", LAST - 9, LAST],
  ["bytes=-9999999", 0, LAST],
  ["bytes=5-99999999", 5, LAST],
])("%s is that part", async (range, from, to) => {
  const { get } = await open();
  const answer = await get({ range, "if-range": ETAG });
  expect([answer.status, answer.headers.get("content-range")]).toEqual([206, `bytes ${from}-${to}/${FILE.length}`]);
  expect(Buffer.from(await answer.arrayBuffer()).equals(FILE.subarray(from, to + 1))).toBe(true);
});

it.each(["bytes=2500000-", "bytes=-0"])("%s is no part of it", async (range) => {
  const { get } = await open();
  const answer = await get({ range });
  expect([answer.status, answer.headers.get("content-range")]).toEqual([416, `bytes */${FILE.length}`]);
});

it.each([
  [{ range: "bytes=0-1,5-6" }],
  [{ range: "bytes=9-3" }],
  [{ range: "bytes=-" }],
  [{ range: "lines=0-1" }],
  [{ range: "bytes=0-1", "if-range": '"other"' }],
  [{ range: "bytes=0-1", "if-range": `W/${ETAG}` }],
])("%j is answered with all of it", async (headers) => {
  const { get } = await open();
  const answer = await get(headers as Record<string, string>);
  expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, FILE.length]);
});

it("HEAD tells of the whole file, whatever part is asked for", async () => {
  const { get } = await open();
  const { status, headers } = await get({ range: "bytes=0-9" }, "HEAD");
  expect([status, headers.get("content-length"), headers.get("content-range")]).toEqual([200, "2500000", null]);
  expect((await get({ "if-none-match": ETAG })).status).toBe(304);
});

it("a file that becomes another in the middle is cut, so that nobody takes it for whole", async () => {
  const { get } = await open((from) => (from > 1024 * 1024 ? '"two"' : ETAG));
  await expect((await get()).arrayBuffer()).rejects.toThrow();
});
