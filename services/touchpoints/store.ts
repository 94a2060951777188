import type { Principal } from "#runtime/context.ts";
import type { Store } from "#runtime/store.ts";
import { type ExperienceDoc, experienceModel, type TouchpointDoc, touchpointModel } from "./model.ts";
import { fail } from "./reasons.ts";

/** The experience, or a refusal when the caller has none of this id. */
export async function findExperience(id: string, store: Store, principal: Principal): Promise<ExperienceDoc> {
  const doc = await store.collection(experienceModel).of(principal.workspace).get(id);
  if (doc === undefined || doc.test !== principal.test) throw fail("EXPERIENCE_NOT_FOUND");
  return doc;
}

/** The touchpoint, or a refusal when the caller has none of this id. */
export async function findTouchpoint(id: string, store: Store, principal: Principal): Promise<TouchpointDoc> {
  const doc = await store.collection(touchpointModel).of(principal.workspace).get(id);
  if (doc === undefined || doc.test !== principal.test) throw fail("TOUCHPOINT_NOT_FOUND");
  return doc;
}

/** All touchpoints of an experience, in order of creation, ties by id. */
export function touchpointsOf(experienceId: string, store: Store, principal: Principal): Promise<TouchpointDoc[]> {
  const touchpoints = store.collection(touchpointModel).of(principal.workspace);
  return touchpoints.find({ where: { experienceId }, sort: [["createdAt", 1]] });
}

/** The caller's touchpoints among these ids. */
export async function knownTouchpoints(
  ids: readonly string[],
  store: Store,
  principal: Principal,
): Promise<Map<string, TouchpointDoc>> {
  const found = await store.collection(touchpointModel).of(principal.workspace).getMany(ids);
  return new Map([...found].filter(([, { test }]) => test === principal.test));
}
