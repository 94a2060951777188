import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";

/** Milliseconds of a slot, the smallest time that is counted by: every time zone's midnight is the border of one. */
export const SLOT_MS = 15 * 60_000;
export const HOUR_MS = 60 * 60_000;
export const DAY_MS = 24 * HOUR_MS;
/** Slots of a day. */
export const DAY_SLOTS = DAY_MS / SLOT_MS;

/** One letter a purpose: names of counters begin with it, so that no product can read another's. */
const letters = new Map<Purpose, string>([
  [Purpose.MARKETING, "m"],
  [Purpose.AMBASSADOR, "a"],
  [Purpose.LOST_AND_FOUND, "l"],
  [Purpose.MEDICAL, "d"],
  [Purpose.TOUCHPOINT, "p"],
]);

/** Which touches may be seen together: those of one purpose, and of these either test data or the others. */
export function wallOf({ purpose, test }: { purpose: Purpose; test: boolean }): string {
  const letter = letters.get(purpose) ?? "x";
  return test ? `${letter}t` : letter;
}

/** The walls of all purposes, of test data or of the others. */
export function wallsOf(test: boolean): readonly string[] {
  return [...letters.keys()].map((purpose) => wallOf({ purpose, test }));
}

/** Where a touch stands in lists: people and programs of one wall apart. */
export function shelfOf(wall: string, isHuman: boolean): string {
  return isHuman ? wall : `${wall}-`;
}

/** Why a touch of a program is not counted, as a word. */
export function filterReason(reason: string): string {
  return /^[a-z]{1,20}$/.exec(reason)?.[0] ?? "other";
}

/** What the counters of a code are filed under. */
export function codeScope(wall: string, codeId: string): string {
  return `${wall}:${codeId}`;
}

/** What the counters of a whole workspace are filed under, one a partition of the log, since each is written by that partition's reader. */
export function workspaceScope(wall: string, partition: number): string {
  return `${wall}*${partition}`;
}

/** Which books a touch is in: those of test data or the others. */
export function bookOf(test: boolean): string {
  return test ? "test" : "live";
}
