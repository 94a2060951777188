import { SYSTEM_WORKSPACE } from "../context.ts";
import type { LogEntry, Subject } from "../log.ts";
import { type Doc, defineModel } from "../model.ts";
import type { Collection, Store } from "../store.ts";

/** An entry of the log that a projection could not take. The log still has it, at the position. */
export interface PoisonDoc extends Doc {
  /** Name of the projection, slash, position. */
  id: string;
  projection: string;
  position: number;
  subject: Subject;
  /** Class or reason of the error; no text of the entry. */
  error: string;
  /** Where it was thrown: "services/scans/project.ts:41:7". Empty when unknown. */
  where: string;
  /** When it was set aside. */
  at: number;
}

/** Entries that projections have set aside. One collection for all of them, in the system's workspace. */
export const poisonModel = defineModel<PoisonDoc>({
  name: "runtime.poison",
  fields: {
    projection: { kind: "string", required: true },
    position: { kind: "number", required: true },
    subject: { kind: "string", required: true },
    error: { kind: "string", required: true },
    where: { kind: "string", required: true },
    at: { kind: "number", required: true },
  },
  indexes: [{ name: "by-projection", fields: ["projection", "position"] }],
});

/** What has been set aside. */
export function poisons(store: Store): Collection<PoisonDoc> {
  return store.collection(poisonModel).of(SYSTEM_WORKSPACE);
}

/** The document of an entry that is set aside. */
export function poisonOf(entry: LogEntry, fault: Omit<PoisonDoc, "id" | "position" | "subject">): PoisonDoc {
  const { position, subject } = entry;
  return { id: `${fault.projection}/${position}`, position, subject, ...fault };
}
