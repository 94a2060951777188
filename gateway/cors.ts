/** Headers of an answer that a page of another origin may read. */
const EXPOSED = [
  "X-Request-Id",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "ETag",
  "Content-Range",
  "Content-Disposition",
  "Grpc-Status",
  "Grpc-Message",
  "Grpc-Status-Details-Bin",
].join(", ");

/** Headers of a request that a page of another origin may send. */
const ACCEPTED = [
  "Authorization",
  "X-API-Key",
  "x-distinct-api-key",
  "Content-Type",
  "Content-Encoding",
  "If-None-Match",
  "Last-Event-ID",
  "Range",
  "X-Request-Id",
  "X-Grpc-Web",
  "X-User-Agent",
  "Grpc-Timeout",
  "Connect-Protocol-Version",
  "Connect-Timeout-Ms",
].join(", ");

/** Lets pages of every origin read the answer. For what needs no key. */
export function allowEveryOrigin(headers: Record<string, string>): void {
  headers["access-control-allow-origin"] = "*";
  headers["access-control-expose-headers"] = EXPOSED;
}

/** Lets pages of one origin read the answer: the key has been accepted from there. */
export function allowOrigin(headers: Record<string, string>, origin: string): void {
  if (origin === "") return;
  headers["access-control-allow-origin"] = origin;
  headers["access-control-expose-headers"] = EXPOSED;
  headers.vary = "Origin";
}

/**
 * Headers that answer a preflight. It comes without the key, so it promises nothing but the path: whether a page may read
 * the answer is decided when the key is there.
 */
export function preflightHeaders(allowed: readonly string[]): Record<string, string> {
  return {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": allowed.join(", "),
    "access-control-allow-headers": ACCEPTED,
    "access-control-max-age": "7200",
  };
}
