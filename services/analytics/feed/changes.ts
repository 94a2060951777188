import type { LogEntry, Subject } from "#runtime/log.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Writer } from "../engine/duck.ts";
import { conversationChanges } from "./conversations.ts";
import { linkChanges } from "./links.ts";
import type { Restorer } from "./restore.ts";
import { revisions } from "./revised.ts";
import { restoreVisitors, visitorChanges } from "./visitors.ts";

/** What readers of changes work with. */
export type ChangeDeps = Pick<ServiceDeps, "client" | "store"> & {
  /** Aborts when the feed stops. */
  signal: AbortSignal;
};

/** Applies what was read within the transaction of its step. */
export type Apply = (writer: Writer) => Promise<void>;

/**
 * Turns entries of one subject, which stand one after the other on the log, into a change of the tables. What has to be
 * asked of others is asked here, before the transaction. Applied again, it changes nothing: a row keeps in `changed` the
 * position that changed it last. An entry that cannot be read is left out.
 */
export type ChangeReader = (entries: readonly LogEntry[], deps: ChangeDeps) => Promise<Apply>;

/** Who reads what of the log beside touches. */
export const CHANGES: Partial<Record<Subject, ChangeReader>> = {
  "codes.changed": linkChanges,
  "conversations.updated": conversationChanges,
  "touches.revised": revisions,
  "visitors.changed": visitorChanges,
};

/** What is made anew of a workspace, beside events and links, when the log has let go of its beginning. */
export const RESTORERS: readonly Restorer[] = [restoreVisitors];

/** All subjects of the log that the feed reads. */
export const FEED_SUBJECTS: readonly Subject[] = ["touches.marketing", ...(Object.keys(CHANGES) as Subject[])];
