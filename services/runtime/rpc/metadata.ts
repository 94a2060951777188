import type { Metadata } from "@grpc/grpc-js";

/** What never goes on to a handler: who calls is in its context, and a key is nobody's business. */
const KEPT_BACK = new Set(["waymark-envelope", "authorization", "x-api-key", "x-distinct-api-key", "traceparent"]);

/** Metadata as headers, without what belongs to gRPC itself and what tells who calls. */
export function headersOf(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(metadata.getMap())) {
    if (typeof value === "string" && !KEPT_BACK.has(name) && !name.startsWith("grpc-")) headers.set(name, value);
  }
  return headers;
}

/** Headers as metadata; undefined when there are none. */
export function metadataOf(headers: Headers, metadata: Metadata): Metadata | undefined {
  for (const [name, value] of headers) metadata.set(name, value);
  return Object.keys(metadata.getMap()).length === 0 ? undefined : metadata;
}
