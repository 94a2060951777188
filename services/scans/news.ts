import { setTimeout as sleep } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Log, LogEntry } from "#runtime/log.ts";
import type { PrivacySettings } from "./settings.ts";
import type { Targets } from "./targets.ts";

/** How long to wait before reading on after the log could not be read. */
const RETRY_MS = 1_000;

/** What is told about changes. */
export interface Listeners {
  targets: Targets;
  settings: PrivacySettings;
}

/**
 * Follows the log from now on, and has what has changed forgotten. When the log cannot be read everything is forgotten,
 * since what was missed is not known; then it goes on from where it was.
 */
export async function followNews(
  log: Pick<Log, "read" | "head">,
  listeners: Listeners,
  stop: AbortSignal,
): Promise<void> {
  let after: number | undefined;
  while (!stop.aborted) {
    try {
      after ??= await log.head();
      for await (const entries of log.read({
        after,
        subjects: ["codes.changed", "workspaces.changed"],
        follow: stop,
      })) {
        for (const entry of entries) tell(entry, listeners);
        after = entries.at(-1)?.position ?? after;
      }
    } catch {
      listeners.targets.forgetAll();
      listeners.settings.forgetAll();
    }
    await sleep(RETRY_MS, undefined, { signal: stop }).catch(() => {});
  }
}

function tell({ subject, payload }: LogEntry, { targets, settings }: Listeners): void {
  const change = fromBinary(ObjectChangedSchema, payload);
  if (subject === "codes.changed") targets.changed(change);
  else settings.changed(change);
}
