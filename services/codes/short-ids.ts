import { randomBytes } from "node:crypto";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { shortIdModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { shortIdLength, shortIdOf } from "./rules.ts";

/** How often a short id is thought of before the directory is taken for full. */
export const ATTEMPTS = 8;

/** Whether nobody has a short id, in any workspace. A short id of a deleted code stays with it. */
export async function isFree({ store }: Pick<ServiceDeps, "store">, shortId: string): Promise<boolean> {
  return (await store.collection(shortIdModel).of(SYSTEM_WORKSPACE).get(shortId)) === undefined;
}

/** A short id by chance that nobody has now. */
export async function freeShortId(deps: Pick<ServiceDeps, "store">): Promise<string> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const shortId = shortIdOf(randomBytes(shortIdLength(attempt)));
    if (await isFree(deps, shortId)) return shortId;
  }
  throw fail("SHORT_IDS_CROWDED");
}
