import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Subject } from "./log.ts";

/**
 * The subject on which touches of a purpose stand. This is the wall between products: a projection reads the purposes
 * that it subscribes to, and the others never reach it.
 */
export const subjectOf = {
  [Purpose.MARKETING]: "touches.marketing",
  [Purpose.AMBASSADOR]: "touches.ambassador",
  [Purpose.LOST_AND_FOUND]: "touches.lost_and_found",
  [Purpose.MEDICAL]: "touches.medical",
  [Purpose.TOUCHPOINT]: "touches.touchpoint",
} as const satisfies Partial<Record<Purpose, Subject>>;

/** A purpose that touches on the log have. */
export type TouchPurpose = keyof typeof subjectOf;

/** The subjects of touches of every purpose: for the service that counts them all, and for no other. */
export const TOUCH_SUBJECTS: readonly Subject[] = Object.values(subjectOf);

/** Whether an entry holds touches. */
export function holdsTouches(subject: Subject): boolean {
  return (TOUCH_SUBJECTS as readonly Subject[]).includes(subject);
}

/** Version of the rules by which intake tells people from programs (services/scans/verdict.ts): it changes when they do. */
export const VERDICT_RULES = "1";
