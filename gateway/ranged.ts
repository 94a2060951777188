import type { Message } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import type { HttpBody } from "#gen/google/api/httpbody_pb.ts";
import { holdsTag } from "./etag.ts";
import { type Exchange, observe, SENT, type Sent, send } from "./exchange.ts";
import type { Route } from "./routes.ts";
import { write } from "./stream.ts";

/** What one call fetches of a file. */
const PIECE_BYTES = 1024 * 1024;

/** A piece of a file, and what it is a piece of. */
interface Piece {
  data: Uint8Array;
  contentType: string;
  /** Length of the file. */
  total: number;
  etag: string;
  disposition: string | undefined;
}

/** Asks the handler for a part of the file, both ends included. */
type Fetch = (from: number, to: number) => Promise<Piece>;

/** How a piece is fetched: the handler is asked again and again with a `range` header. */
export function fetcher(
  route: Route,
  given: { options: CallOptions; ask: (options: CallOptions) => Promise<Message> },
): Fetch {
  const { options, ask } = given;
  const passed = [...((options.headers ?? []) as [string, string][])].filter(([name]) => !/^(if-)?range$/.test(name));
  return async (from, to) => {
    let found = new Headers();
    const onHeader = (headers: Headers): void => {
      found = headers;
      options.onHeader?.(headers);
    };
    const reply = await ask({ ...options, headers: [...passed, ["range", `bytes=${from}-${to}`]], onHeader });
    const body = bodyOf(route, reply);
    const total = Number(/\/([0-9]+)$/.exec(found.get("content-range") ?? "")?.[1] ?? body.data.length);
    const { data, contentType } = body;
    return {
      data,
      contentType,
      total,
      etag: found.get("etag") ?? "",
      disposition: found.get("content-disposition") ?? undefined,
    };
  };
}

function bodyOf({ rpc, responseBody }: Route, reply: Message): HttpBody {
  const field = rpc.output.fields.find(({ name }) => name === responseBody);
  return (field === undefined ? reply : (reply as unknown as Record<string, HttpBody>)[field.localName]) as HttpBody;
}

/** Which part is asked for: undefined for all of it, "none" when there is no such part. */
function partOf(range: string | undefined, total: number): { from: number; to: number } | "none" | undefined {
  const [, first = "", last = ""] = /^bytes=([0-9]*)-([0-9]*)$/.exec(range ?? "") ?? [];
  if (first === "" && last === "") return undefined; // several parts, or no range that we know: all of it
  const from = first === "" ? Math.max(0, total - Number(last)) : Number(first);
  const to = first === "" || last === "" ? total - 1 : Math.min(Number(last), total - 1);
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  return from >= total || (first === "" && Number(last) === 0) ? "none" : { from, to };
}

/**
 * Answers GET and HEAD of a file of any length with Range, If-Range and If-None-Match, piece by piece, no faster than the
 * client reads. Throws what the handler throws before anything is sent; after that the connection is cut.
 */
export async function sendRanged(exchange: Exchange, fetch: Fetch): Promise<Sent> {
  const { headers: asked, method } = exchange.request.raw;
  const head = await fetch(0, 0);
  const { total, etag, contentType, disposition } = head;
  const headers = { ...exchange.headers, etag, "accept-ranges": "bytes", "cache-control": "private, no-cache" };
  delete (headers as Record<string, string>)["content-range"];
  if (holdsTag(asked["if-none-match"], etag)) return sendBare(exchange, { status: 304, headers });
  const isSame = asked["if-range"] === undefined || asked["if-range"] === etag;
  const part = isSame ? partOf(asked.range, total) : undefined;
  if (part === "none")
    return sendBare(exchange, { status: 416, headers: { ...headers, "content-range": `bytes */${total}` } });
  const { from, to } = part ?? { from: 0, to: total - 1 };
  observe(exchange, part === undefined ? 200 : 206);
  const { raw } = exchange.reply.hijack();
  raw.writeHead(part === undefined ? 200 : 206, {
    ...headers,
    "content-type": contentType,
    "content-length": to - from + 1,
    ...(disposition === undefined ? {} : { "content-disposition": disposition }),
    ...(part === undefined ? {} : { "content-range": `bytes ${from}-${to}/${total}` }),
  });
  if (method === "HEAD") raw.end();
  else await pump(raw, { fetch, from, to, etag });
  return SENT;
}

function sendBare(exchange: Exchange, { status, headers }: { status: number; headers: Record<string, string> }): Sent {
  exchange.headers = headers;
  return send(exchange, { status });
}

type Raw = Exchange["reply"]["raw"];

async function pump(
  raw: Raw,
  { fetch, from, to, etag }: { fetch: Fetch; from: number; to: number; etag: string },
): Promise<void> {
  try {
    for (let at = from; at <= to && !raw.destroyed; ) {
      const piece = await fetch(at, Math.min(to, at + PIECE_BYTES - 1));
      if (piece.etag !== etag || piece.data.length === 0) throw new Error("the file has changed");
      at += piece.data.length;
      await write(raw, piece.data);
    }
    raw.end();
  } catch {
    raw.destroy();
  }
}
