import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Principal } from "#runtime/context.ts";
import type { Params } from "./duck.ts";
import { fail } from "./reasons.ts";
import { deviceOf } from "./rules.ts";

/** What a question is about. Every question has a scope, and every scope a workspace. */
export interface Scope {
  /** Follows WHERE; made of fixed parts, values are bound. */
  sql: string;
  params: Params;
}

/** What may narrow a question. */
export interface Narrowing {
  linkId?: string | undefined;
  visitorId?: string | undefined;
  startDate?: Timestamp | undefined;
  endDate?: Timestamp | undefined;
}

/** The human events of the caller's workspace, test events for a development key and real ones for all others. */
export function scopeOf(principal: Principal, narrow: Narrowing = {}): Scope {
  const parts = ["workspace = $workspace", "human", "test = $test"];
  const params: Record<string, string | boolean | bigint> = { workspace: principal.workspace, test: principal.test };
  const add = (sql: string, name: string, value: string | bigint | undefined): void => {
    if (value === undefined) return;
    parts.push(sql);
    params[name] = value;
  };
  const start = milliseconds(narrow.startDate);
  const end = milliseconds(narrow.endDate);
  if (start !== undefined && end !== undefined && end < start) throw fail("RANGE_REVERSED", { field: "end_date" });
  add("link_id = $link", "link", narrow.linkId);
  add("device_id = $device", "device", narrow.visitorId === undefined ? undefined : deviceOf(narrow.visitorId));
  add("scanned_at >= $start", "start", start);
  add("scanned_at <= $end", "end", end);
  return { sql: parts.join(" AND "), params };
}

function milliseconds(time: Timestamp | undefined): bigint | undefined {
  return time === undefined ? undefined : BigInt(timestampMs(time));
}
