import { createHash } from "node:crypto";
import { DeviceType, HttpMethod } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DeviceType as TouchDeviceType } from "#gen/waymark/events/v1/touches_pb.ts";
import { fail } from "./reasons.ts";

/** The most intervals of one series. */
export const MOST_INTERVALS = 10_000;

/** The visitor that a device is, until somebody is identified. */
export function visitorOf(deviceId: string): string {
  return `vis_${deviceId}`;
}

/** The device of an anonymous visitor; a text that is no visitor's id matches no device. */
export function deviceOf(visitorId: string): string {
  return visitorId.startsWith("vis_") ? visitorId.slice(4) : "";
}

/** Kinds of devices as touches have them, in the words of this API. */
export function deviceTypeOf(type: number): DeviceType {
  switch (type) {
    case TouchDeviceType.MOBILE:
      return DeviceType.MOBILE;
    case TouchDeviceType.TABLET:
      return DeviceType.TABLET;
    case TouchDeviceType.DESKTOP:
      return DeviceType.DESKTOP;
    default:
      return DeviceType.UNKNOWN;
  }
}

/** HTTP methods in the words of this API; undefined for a scan sent through the API. */
export function methodOf(method: string | null): HttpMethod | undefined {
  if (method === "GET") return HttpMethod.GET;
  if (method === "POST") return HttpMethod.POST;
  if (method === "HEAD") return HttpMethod.HEAD;
  return undefined;
}

/** Where equal intervals begin: the first at `start`, the last holds `end`. Refuses more than MOST_INTERVALS. */
export function intervals(range: { start: number; end: number; minutes: number }): { count: number; lengthMs: number } {
  const lengthMs = range.minutes * 60_000;
  if (range.end < range.start) throw fail("RANGE_REVERSED", { field: "end_date" });
  const count = Math.floor((range.end - range.start) / lengthMs) + 1;
  if (count > MOST_INTERVALS) throw fail("TOO_MANY_INTERVALS", { field: "interval_in_minutes", intervals: count });
  return { count, lengthMs };
}

/** Where a list goes on: the sort keys of the last row, and of which question. */
export interface Cursor {
  key: number;
  id: string;
}

/** An opaque page token that only fits the same question. */
export function encodeCursor(question: unknown, last: Cursor): string {
  return Buffer.from(JSON.stringify([fingerprint(question), last.key, last.id])).toString("base64url");
}

/** The cursor of a token; undefined for the first page. Refuses tokens of other questions and what is no token. */
export function decodeCursor(question: unknown, token: string): Cursor | undefined {
  if (token === "") return undefined;
  try {
    const [print, key, id] = JSON.parse(Buffer.from(token, "base64url").toString()) as unknown[];
    if (print === fingerprint(question) && typeof key === "number" && typeof id === "string") return { key, id };
  } catch {
    // What is not our JSON is refused below, as a token of another question is.
  }
  throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
}

function fingerprint(question: unknown): string {
  const text = JSON.stringify(question, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  return createHash("sha256").update(text).digest("base64url").slice(0, 12);
}

/** CSV by RFC 4180; a cell that a spreadsheet would take for a formula is preceded by an apostrophe. */
export function toCsv(
  header: readonly string[],
  rows: readonly (readonly (string | number | null | undefined)[])[],
): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: string | number | null | undefined): string {
  if (typeof value === "number") return String(value);
  const text = value ?? "";
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
