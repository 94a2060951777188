import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, type Touch, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Arrived } from "./columns.ts";

/** What an entry of the log holds for analytics. */
export interface Arrivals {
  events: Arrived[];
  /** Entries or touches that cannot be read; they are left out, since they would be no better the next time. */
  unreadable: number;
}

/**
 * The marketing touches of an entry. The subject is the wall between purposes; whatever else it may hold stays outside
 * here too.
 */
export function arrivalsOf(entry: LogEntry): Arrivals {
  const batch = decode(entry.payload);
  if (batch === undefined) return { events: [], unreadable: 1 };
  const recordedAt = batch.recordedAt === undefined ? entry.appendedAt : timestampMs(batch.recordedAt);
  const events: Arrived[] = [];
  let unreadable = 0;
  for (const touch of batch.touches) {
    if (touch.purpose !== Purpose.MARKETING) continue;
    if (isReadable(touch)) events.push({ touch, position: entry.position, recordedAt });
    else unreadable += 1;
  }
  return { events, unreadable };
}

function decode(payload: Uint8Array) {
  try {
    return fromBinary(TouchBatchSchema, payload);
  } catch {
    return undefined;
  }
}

/** The furthest that a time can be from 1970, in seconds. */
const FURTHEST = 8_640_000_000_000n;

function isReadable({ id, workspaceId, scannedAt }: Touch): boolean {
  const { seconds = 0n } = scannedAt ?? {};
  return id !== "" && workspaceId !== "" && seconds > -FURTHEST && seconds < FURTHEST;
}
