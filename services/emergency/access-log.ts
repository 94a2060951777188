import type { Collection } from "#runtime/store.ts";
import type { AccessDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { isLinked, type Look, NO_HASH, nextAccess } from "./rules.ts";

const ATTEMPTS = 20;

/** Appends a look to the log of its tag. Of looks at the same moment each finds its own place. */
export async function appendAccess(accesses: Collection<AccessDoc>, look: Look): Promise<AccessDoc> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const [last] = await accesses.find({ where: { tagId: look.tagId }, sort: [["sequence", -1]], limit: 1 });
    const entry = nextAccess(last, look);
    const outcome = await accesses.insert(entry);
    if (outcome.kind === "applied") return entry;
  }
  throw fail("ACCESS_LOG_BUSY");
}

/** Goes through the log of a tag from its beginning and checks each link. */
export async function verifyAccesses(
  accesses: Collection<AccessDoc>,
  tagId: string,
): Promise<{ entries: number; intact: boolean; head: string }> {
  let last: AccessDoc | undefined;
  let entries = 0;
  let intact = true;
  for await (const chunk of accesses.stream({ where: { tagId }, sort: [["sequence", 1]] })) {
    for (const entry of chunk) {
      intact &&= isLinked(last, entry);
      entries += 1;
      last = entry;
    }
  }
  return { entries, intact, head: last?.hash ?? NO_HASH };
}
