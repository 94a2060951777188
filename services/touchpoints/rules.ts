import type { GetTouchpointMetricsRequest } from "#gen/waymark/touchpoints/v1/metrics_pb.ts";
import { fail } from "./reasons.ts";

/** Which items of a list are wanted. */
export interface Page {
  pageSize: number;
  offset: number;
}

/** What a metrics request asks. */
export type Question =
  | { about: "EXPERIENCE"; experienceId: string }
  | { about: "USER"; experienceId: string; userId: string }
  | { about: "TOUCHPOINT"; touchpointId: string; experienceId?: string; visits: "TOTAL" | "UNIQUE"; page: Page };

const METRICS_TYPES = ["EXPERIENCE", "USER", "TOUCHPOINT"] as const;
const VISITS_TYPES = ["TOTAL", "UNIQUE"] as const;
const PAGE_SIZE = 50;
const PAGE_SIZE_MAX = 1000;
/** As intake has it. */
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const AHEAD_MS = 10 * 60_000;
const ID = /^[A-Za-z0-9_.:-]{1,64}$/; // "tp-1", "scan_01J9Z:entry"

/** Reads a metrics request, or refuses it: metricsType first, then what it needs, visitsType, pageSize, offset. */
export function readQuestion(request: Omit<GetTouchpointMetricsRequest, "$typeName" | "$unknown">): Question {
  const about = oneOf(METRICS_TYPES, { field: "metrics_type", parameter: "metricsType", value: request.metricsType });
  const { experienceId, userId, touchpointId } = request;
  if (about !== "TOUCHPOINT") need(experienceId, "experience_id", "experienceId");
  if (about === "USER") need(userId, "user_id", "userId");
  if (about === "TOUCHPOINT") need(touchpointId, "touchpoint_id", "touchpointId");
  const value = request.visitsType || "TOTAL";
  const visits =
    about === "TOUCHPOINT" ? oneOf(VISITS_TYPES, { field: "visits_type", parameter: "visitsType", value }) : "TOTAL";
  const page = readPage(request);
  if (about === "EXPERIENCE") return { about, experienceId };
  if (about === "USER") return { about, experienceId, userId };
  return { about, touchpointId, visits, page, ...(experienceId !== "" && { experienceId }) };
}

/** Reads pageSize and offset, or refuses them. */
export function readPage({ pageSize = PAGE_SIZE, offset }: { pageSize?: number | undefined; offset: number }): Page {
  if (pageSize < 1 || pageSize > PAGE_SIZE_MAX) {
    const must = `from 1 to ${PAGE_SIZE_MAX}`;
    throw fail("INVALID_PARAMETER", { field: "page_size", parameter: "pageSize", must });
  }
  if (offset < 0) throw fail("INVALID_PARAMETER", { field: "offset", parameter: "offset", must: "0 or more" });
  return { pageSize, offset };
}

/** The experience that a flow request is about; refuses one that names none. */
export function experienceOf({ experienceId }: { experienceId: string }): string {
  need(experienceId, "experience_id", "experienceId");
  return experienceId;
}

/** A scan as it came in. Times are milliseconds since 1970. */
export interface Scan {
  id?: string | undefined;
  touchpointId: string;
  userId: string;
  at?: number | undefined;
}

/** What is wrong with a scan apart from whether its touchpoint exists, or undefined. */
export function faultOf(scan: Scan, now: number): string | undefined {
  if (scan.id !== undefined && !ID.test(scan.id)) return "id must be 1 to 64 of A-Z a-z 0-9 _ . : -";
  if (scan.touchpointId === "") return "touchpointId is required";
  if (scan.userId === "") return "userId is required";
  if (scan.userId.length > 128) return "userId must be at most 128 characters";
  if (scan.at !== undefined && scan.at > now + AHEAD_MS) return "timestampUTC must be at most 10 minutes ahead";
  if (scan.at !== undefined && scan.at < EARLIEST_MS) return "timestampUTC must not be before the year 2000";
  return undefined;
}

function need(value: string, field: string, parameter: string): void {
  if (value === "") throw fail("MISSING_PARAMETER", { field, parameter });
}

function oneOf<const T extends readonly string[]>(
  words: T,
  { field, parameter, value }: { field: string; parameter: string; value: string },
): T[number] {
  need(value, field, parameter);
  if (words.includes(value)) return value;
  throw fail("INVALID_PARAMETER", { field, parameter, must: `one of ${words.join(", ")}` });
}
