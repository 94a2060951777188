import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { type VisitorChange, VisitorChangedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { POSITION_HEADER } from "#runtime/positions.ts";
import type { AnalyticsDeps, Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { findEvent } from "../events/events.ts";
import { readWatermark } from "../feed/watermark.ts";

/** How long a writer waits until it can read here what it wrote. */
const OWN_MS = 1_000;

/** How long an event that has just happened is waited for at most, and at least while it may not be on the log yet. */
const EVENT_MS = 1_500;
const RECORDED_MS = 800;

const AGAIN_MS = 25;

/** What the log is told: who has changed, never what is known of them. */
export interface Told {
  visitorId: string;
  change: VisitorChange;
  mergedIds?: string[];
  deviceIds?: string[];
}

/**
 * Tells the log who has changed, and the caller where that stands, for other replicas; waits a second at the most until the
 * table here has it. The position.
 */
export async function tell(own: AnalyticsDeps, handler: HandlerContext, told: Told): Promise<number> {
  const context = contextOf(handler);
  const { workspace: workspaceId, test } = context.principal;
  const changedAt = timestampFromMs(context.now());
  const payload = toBinary(
    VisitorChangedSchema,
    create(VisitorChangedSchema, { workspaceId, test, changedAt, ...told }),
  );
  const position = await own.log.append([{ subject: "visitors.changed", key: told.visitorId, payload }], randomUUID());
  handler.responseHeader.set(POSITION_HEADER, String(position));
  const duck = await own.engine.pass(handler.signal);
  const end = performance.now() + OWN_MS;
  while ((await readWatermark(duck)).position < position && performance.now() < end)
    await delay(AGAIN_MS, undefined, { signal: handler.signal });
  return position;
}

/** The event of an id, waited for while it may still be on its way; undefined: there is none. */
export async function awaitEvent(own: AnalyticsDeps, asking: Asking, eventId: string): Promise<Row | undefined> {
  const begun = performance.now();
  for (;;) {
    const { position } = await readWatermark(asking.duck);
    const event = await findEvent(asking, eventId);
    const waitedMs = performance.now() - begun;
    if (event !== undefined || waitedMs > EVENT_MS) return event;
    if (waitedMs > RECORDED_MS && position >= (await own.log.head())) return undefined;
    await delay(AGAIN_MS, undefined, { signal: asking.signal });
  }
}
