import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { HttpRefusal } from "./problems.ts";

const inflate = promisify(gunzip);

/**
 * Reads the body of a request, unpacking gzip. Both what comes and what it unpacks to may have `maxBytes`; more is refused
 * as soon as it is known. Undefined when there is no body.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const { "content-length": length, "transfer-encoding": transfer, "content-encoding": encoding } = request.headers;
  if (transfer === undefined && (length === undefined || length === "0")) return undefined;
  const coding = encoding?.trim().toLowerCase() ?? "identity";
  if (coding !== "identity" && coding !== "gzip" && coding !== "x-gzip") {
    throw new HttpRefusal("CONTENT_ENCODING_UNSUPPORTED", { headers: { "accept-encoding": "gzip" } });
  }
  if (Number(length) > maxBytes) throw tooLarge(maxBytes);
  const raw = await collect(request, maxBytes);
  if (raw.length === 0) return undefined;
  return coding === "identity" ? raw : unpack(raw, maxBytes);
}

/** Node reads the rest of a body that is too large and throws it away, so that the caller sees the answer and no broken pipe. */
function tooLarge(maxBytes: number): HttpRefusal {
  return new HttpRefusal("BODY_TOO_LARGE", { what: String(maxBytes) });
}

function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (end: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut);
      end();
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      else stop(() => reject(tooLarge(maxBytes)));
    };
    const onEnd = (): void => stop(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    const onCut = (): void => stop(() => reject(new HttpRefusal("BODY_UNREADABLE", { what: "ended too early" })));
    request.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut);
  });
}

async function unpack(raw: Buffer, maxBytes: number): Promise<Buffer> {
  try {
    return await inflate(raw, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw new HttpRefusal("BODY_UNREADABLE", { what: "is not gzip, although Content-Encoding says so" });
  }
}
