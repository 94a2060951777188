import { setTimeout as wait } from "node:timers/promises";
import type { HandlerContext } from "@connectrpc/connect";
import { contextOf } from "#runtime/context.ts";
import type { Store } from "#runtime/store.ts";
import { type ImpressionDoc, impressionModel } from "./model.ts";
import { getOwn } from "./store.ts";

const PAUSES_MS = [10, 20, 40, 80, 150, 200, 250, 250]; // one second in all

/**
 * The caller's impression. A scan is acknowledged when the log has it, a moment before it stands in the store: one that is
 * not there yet is waited for, a second at the longest.
 */
export async function awaitImpression(
  id: string,
  store: Store,
  handler: HandlerContext,
): Promise<ImpressionDoc | undefined> {
  const { principal } = contextOf(handler);
  const impressions = store.collection(impressionModel);
  let found = await getOwn(impressions, id, principal);
  for (const pause of PAUSES_MS) {
    if (found !== undefined) return found;
    await wait(pause, undefined, { signal: handler.signal });
    found = await getOwn(impressions, id, principal);
  }
  return found;
}
