import { setTimeout as delay } from "node:timers/promises";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { RequestContext } from "#runtime/context.ts";
import { as, internalPrincipal } from "#runtime/internal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { TagDoc } from "./model.ts";
import { isMedical } from "./rules.ts";

/** A finder waits so long for the recording, and the recording goes on so long without him. */
const ANSWER_MS = 300;
const DEADLINE_MS = 10_000;
/** Recordings that go on without a finder, at most: while intake hangs, those that come then end with their answer. */
const MOST = 1_000;

const underWay = new Set<Promise<unknown>>();

/**
 * Records the touch of a tag in the name of its workspace. Resolves when it is durable, when that failed, or after 300 ms:
 * a finder's answer never depends on it. What intake refuses or sheds is counted there.
 */
export async function recordTouch(
  deps: ServiceDeps,
  { context, workspace, tag }: { context: RequestContext; workspace: string; tag: TagDoc },
): Promise<void> {
  const { ip, userAgent, method = "" } = context;
  const purpose = isMedical(tag) ? Purpose.MEDICAL : Purpose.LOST_AND_FOUND;
  const owner = { ...context, principal: { ...internalPrincipal(workspace), test: tag.test } };
  const touches = [{ purpose, codeId: tag.id, ip, userAgent, method }];
  const timeoutMs = underWay.size < MOST ? DEADLINE_MS : ANSWER_MS;
  const recording = deps
    .client(IntakeService)
    .recordTouches({ touches }, { ...as(owner), timeoutMs })
    .catch(() => undefined); // said above: the answer does not depend on it
  underWay.add(recording);
  void recording.finally(() => underWay.delete(recording));
  const limit = new AbortController();
  await Promise.race([recording, delay(ANSWER_MS, undefined, { signal: limit.signal }).catch(() => undefined)]);
  limit.abort();
}
