import { SYSTEM_WORKSPACE } from "../context.ts";
import { type Doc, defineModel } from "../model.ts";
import type { Collection, Store } from "../store.ts";

/** Who runs a projection. Its version is what holders and candidates compare and set. */
export interface LeaseDoc extends Doc {
  /** Name of the projection. */
  id: string;
  /** The process that holds it; empty when it was handed back. */
  holder: string;
  /** Counts up as long as the holder lives. */
  beat: number;
}

/** Leases of projections. One collection for all of them, in the system's workspace. */
export const leaseModel = defineModel<LeaseDoc>({
  name: "runtime.leases",
  fields: { holder: { kind: "string", required: true }, beat: { kind: "number", required: true } },
  indexes: [],
});

/** All leases. */
export function leases(store: Store): Collection<LeaseDoc> {
  return store.collection(leaseModel).of(SYSTEM_WORKSPACE);
}
