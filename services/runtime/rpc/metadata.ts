import type { Metadata } from "@grpc/grpc-js";

/** What never goes to another process or on to a handler: who calls is in its context, and a key is nobody's business. */
const KEPT_BACK = new Set(["waymark-envelope", "authorization", "x-api-key", "x-distinct-api-key", "traceparent"]);

/** Names that gRPC or HTTP/2 uses for itself: of the handlers' ones it would make something else. */
const RESERVED = new Set([
  ...["content-type", "content-length", "content-encoding", "accept-encoding", "user-agent", "date", "te", "host"],
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"],
]);

/** Carries headers that metadata cannot hold under their own name: "name:value" in Latin-1, as HTTP has it. */
const CARRIER = "waymark-header-bin";

const isReserved = (name: string): boolean => RESERVED.has(name) || name.startsWith("grpc-");

/** Metadata as the headers that the other side had, without what belongs to gRPC itself and what tells who calls. */
export function headersOf(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const name of Object.keys(metadata.getMap())) {
    if (KEPT_BACK.has(name) || isReserved(name)) continue;
    for (const value of metadata.get(name)) {
      if (typeof value === "string") headers.append(name, value);
      else if (name === CARRIER) unpack(value.toString("latin1"), headers);
      else headers.append(name, value.toString("base64").replace(/=+$/, ""));
    }
  }
  return headers;
}

function unpack(packed: string, headers: Headers): void {
  const [, name, value] = /^([!#$%&'*+.^_`|~0-9a-z-]+):([^\0\r\n]*)$/.exec(packed) ?? [];
  if (name !== undefined && value !== undefined && !KEPT_BACK.has(name)) headers.append(name, value);
}

/** Adds headers to metadata, so that `headersOf` gives the same ones on the other side. */
export function addHeaders(metadata: Metadata, headers: Headers): void {
  for (const [name, value] of headers) {
    if (KEPT_BACK.has(name) || name === CARRIER) continue;
    if (name.endsWith("-bin")) {
      for (const part of value.split(",")) metadata.add(name, Buffer.from(part, "base64"));
    } else if (isReserved(name) || !/^[ -~]+$/.test(value) || !/^[0-9a-z_.-]+$/.test(name)) {
      metadata.add(CARRIER, Buffer.from(`${name}:${value}`, "latin1"));
    } else metadata.add(name, value);
  }
}
