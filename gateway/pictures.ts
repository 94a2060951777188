import type { Client } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import type { DirectoryService, DrawCodeResponse } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { Logger } from "#runtime/logger.ts";
import type { Admission } from "./admission.ts";
import { PUBLIC } from "./admission.ts";
import { DEADLINE_MS } from "./call.ts";
import { allowEveryOrigin } from "./cors.ts";
import type { FieldFault } from "./dialects/dialect.ts";
import { scans } from "./dialects/scans.ts";
import { holdsTag } from "./etag.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";
import { HttpRefusal } from "./problems.ts";
import { refuse } from "./refuse.ts";
import { InputError } from "./transcode/fault.ts";

const CACHE_BYTES = 32 << 20;
const CACHE_MS = 600_000;

/** Pictures of printed short ids. */
export interface Pictures {
  /** Answers `/qr/{file}`. Never rejects. */
  answer: (exchange: Exchange, file: string) => Promise<Sent>;
  /** Forgets the pictures of codes that have changed. For entries of `codes.changed`, whose aliases are short ids. */
  invalidate: (change: Pick<ObjectChanged, "aliases">) => void;
  /** Forgets all pictures: changes may have been missed. */
  invalidateAll: () => void;
}

/** What is drawn, and how. */
interface Wanted {
  shortId: string;
  format: string;
  size: number;
  margin: number | undefined;
  ecc: string;
  dark: string;
  light: string;
}

/** Opens a cache, bounded by bytes, in front of the drawing. Only what must be drawn counts against the caller's limit. */
export function openPictures(options: {
  codes: Client<typeof DirectoryService>;
  admission: Admission;
  log: Logger;
}): Pictures {
  const { codes, admission, log } = options;
  const drawn = new LRUCache<string, DrawCodeResponse>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ data }) => data.length + 1_000,
    ttl: CACHE_MS,
  });
  const draw = async (exchange: Exchange, wanted: Wanted): Promise<DrawCodeResponse> => {
    const name = Object.values(wanted).join("/");
    const known = drawn.get(name);
    if (known !== undefined) return known;
    await admission.admit(exchange, PUBLIC);
    const context = internalContext(SYSTEM_WORKSPACE, { requestId: exchange.requestId });
    const picture = await codes.drawCode(wanted, { ...as(context), timeoutMs: DEADLINE_MS });
    drawn.set(name, picture);
    return picture;
  };
  return {
    async answer(exchange, file) {
      exchange.route = "picture";
      allowEveryOrigin(exchange.headers);
      try {
        return sendPicture(exchange, await draw(exchange, wantedOf(file, new URLSearchParams(exchange.query))));
      } catch (error) {
        return refuse(exchange, { error, dialect: scans, log });
      }
    },
    invalidateAll: () => drawn.clear(),
    invalidate({ aliases }) {
      for (const name of drawn.keys())
        if (aliases.some((shortId) => name.startsWith(`${shortId}/`))) drawn.delete(name);
    },
  };
}

function sendPicture(exchange: Exchange, { etag, contentType, data }: DrawCodeResponse): Sent {
  const headers = { etag, "cache-control": "public, max-age=86400" };
  if (holdsTag(exchange.request.raw.headers["if-none-match"], etag)) return send(exchange, { status: 304, headers });
  return send(exchange, { status: 200, headers: { ...headers, "content-type": contentType }, body: data });
}

/** Reads "hc9m3r.png" and the query. Throws an InputError that names every bad parameter. */
function wantedOf(file: string, query: URLSearchParams): Wanted {
  const match = /^([^/]{1,64})\.(png|svg)$/.exec(file);
  if (match === null) throw new HttpRefusal("PATH_NOT_FOUND");
  const faults: FieldFault[] = [];
  const wanted: Wanted = {
    shortId: match[1] as string,
    format: match[2] as string,
    size: integer(query, { field: "size", min: 64, max: 4096, faults }) ?? 0,
    margin: integer(query, { field: "margin", min: 0, max: 16, faults }),
    ecc: text(query, { field: "ecc", pattern: /^[LMQH]$/i, must: "must be one of L, M, Q, H", faults }).toUpperCase(),
    dark: colour(query, "dark", faults),
    light: colour(query, "light", faults),
  };
  if (faults[0] !== undefined) throw new InputError(faults[0].message, faults);
  return wanted;
}

function integer(
  query: URLSearchParams,
  { field, min, max, faults }: { field: string; min: number; max: number; faults: FieldFault[] },
): number | undefined {
  const value = query.get(field);
  if (value === null) return undefined;
  const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  faults.push({ field, message: `${field} must be a whole number from ${min} to ${max}` });
  return undefined;
}

function text(
  query: URLSearchParams,
  { field, pattern, must, faults }: { field: string; pattern: RegExp; must: string; faults: FieldFault[] },
): string {
  const value = query.get(field);
  if (value === null || pattern.test(value)) return value ?? "";
  faults.push({ field, message: `${field} ${must}` });
  return "";
}

/** "1a2b3c", "#1A2B3C80" → without "#". */
function colour(query: URLSearchParams, field: string, faults: FieldFault[]): string {
  const must = "must be a colour as RRGGBB or RRGGBBAA in hexadecimal";
  return text(query, { field, pattern: /^#?(?:[0-9a-f]{6}|[0-9a-f]{8})$/i, must, faults }).replace("#", "");
}
