import { hash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { allowEveryOrigin } from "./cors.ts";
import { holdsTag } from "./etag.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";

/** Serves a JSON document that does not change: serialised and packed once, at the first request. */
export function serveDocument(route: string, make: () => unknown): (exchange: Exchange) => Sent {
  let made: { plain: string; packed: Buffer; etag: string } | undefined;
  return (exchange) => {
    made ??= pack(make());
    exchange.route = route;
    allowEveryOrigin(exchange.headers);
    const { "if-none-match": held, "accept-encoding": codings = "" } = exchange.request.raw.headers;
    const headers = { etag: made.etag, "cache-control": "no-cache", vary: "Accept-Encoding" };
    if (holdsTag(held, made.etag)) return send(exchange, { status: 304, headers });
    const json = { ...headers, "content-type": "application/json" };
    if (!/\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(String(codings)))
      return send(exchange, { status: 200, headers: json, body: made.plain });
    return send(exchange, { status: 200, headers: { ...json, "content-encoding": "gzip" }, body: made.packed });
  };
}

/** The tag is weak, because it stands for the packed form too. */
function pack(document: unknown): { plain: string; packed: Buffer; etag: string } {
  const plain = JSON.stringify(document);
  return { plain, packed: gzipSync(plain), etag: `W/"${hash("sha256", plain, "base64url").slice(0, 27)}"` };
}
