import { PARTITIONS } from "#runtime/log.ts";
import type { Store, Where } from "#runtime/store.ts";
import { type BySlot, type DayDoc, dayModel, type TotalDoc, type TouchDoc, totalModel, touchModel } from "./model.ts";
import { codeScope, DAY_SLOTS, SLOT_MS, shelfOf, wallsOf, workspaceScope } from "./scope.ts";

/** Which scans are meant: of one wall, of one code or all of the workspace. */
export interface Selection {
  workspace: string;
  wall: string;
  codeId: string | undefined;
  /** From this time on. */
  from: number | undefined;
  /** Until before this time. */
  until: number | undefined;
  /** Those of programs too. */
  includeBots: boolean;
}

/**
 * How many scans are meant. Whole slots come from the counters, and what the ends of the range cut off a slot is counted by
 * index: the cost follows the days in the range, and not the scans.
 */
export async function countScans(store: Store, selection: Selection): Promise<number> {
  const { from, until } = selection;
  if (from === undefined && until === undefined) return countAll(store, selection);
  const first = from === undefined ? Number.NEGATIVE_INFINITY : Math.ceil(from / SLOT_MS);
  const end = until === undefined ? Number.POSITIVE_INFINITY : Math.floor(until / SLOT_MS);
  if (first >= end) return countByIndex(store, selection);
  let total = await countSlots(store, { ...selection, first, end });
  if (from !== undefined) total += await countByIndex(store, { ...selection, until: first * SLOT_MS });
  if (until !== undefined) total += await countByIndex(store, { ...selection, from: end * SLOT_MS });
  return total;
}

/** Scans of people of codes of all purposes, of all time, in the order of the ids. */
export async function countOfCodes(
  store: Store,
  { workspace, test, codeIds }: { workspace: string; test: boolean; codeIds: readonly string[] },
): Promise<number[]> {
  const walls = wallsOf(test);
  const scopes = codeIds.flatMap((id) => walls.map((wall) => codeScope(wall, id)));
  const totals = await store.collection(totalModel).of(workspace).getMany(scopes);
  return codeIds.map((id) => sum(walls.map((wall) => totals.get(codeScope(wall, id))?.scans ?? 0)));
}

async function countAll(store: Store, { workspace, wall, codeId, includeBots }: Selection): Promise<number> {
  const totals = await store.collection(totalModel).of(workspace).getMany(scopesOf(wall, codeId));
  return sum([...totals.values()].map((total) => countOf(total, includeBots)));
}

function countOf({ scans = 0, filtered = {} }: TotalDoc, includeBots: boolean): number {
  return includeBots ? scans + sum(Object.values(filtered)) : scans;
}

async function countSlots(store: Store, range: Selection & { first: number; end: number }): Promise<number> {
  const { workspace, wall, codeId, first, end, includeBots } = range;
  const day: { gte?: number; lte?: number } = {};
  if (Number.isFinite(first)) day.gte = Math.floor(first / DAY_SLOTS);
  if (Number.isFinite(end)) day.lte = Math.floor(end / DAY_SLOTS);
  const days = store.collection(dayModel).of(workspace);
  let total = 0;
  for (const scope of scopesOf(wall, codeId)) {
    for await (const docs of days.stream({ where: { scope, day }, sort: [["day", 1]] })) {
      for (const doc of docs)
        for (const slots of slotsOf(doc, includeBots)) total += sumSlots(doc, slots, { first, end });
    }
  }
  return total;
}

function slotsOf({ scans = {}, filtered = {} }: DayDoc, includeBots: boolean): BySlot[] {
  return includeBots ? [scans, ...Object.values(filtered)] : [scans];
}

function sumSlots({ day }: DayDoc, slots: BySlot, { first, end }: { first: number; end: number }): number {
  let total = 0;
  for (const slot in slots) {
    const at = day * DAY_SLOTS + Number(slot);
    if (at >= first && at < end) total += slots[slot] as number;
  }
  return total;
}

async function countByIndex(store: Store, selection: Selection): Promise<number> {
  if (selection.from !== undefined && selection.until !== undefined && selection.from >= selection.until) return 0;
  const touches = store.collection(touchModel).of(selection.workspace);
  let total = await touches.count(whereOf(selection, true));
  if (selection.includeBots) total += await touches.count(whereOf(selection, false));
  return total;
}

/** The filter of the scans that are meant, of people or of programs. */
export function whereOf({ wall, codeId, from, until }: Selection, isHuman: boolean): Where<TouchDoc> {
  const shelf = shelfOf(wall, isHuman);
  const scannedAt = from === undefined && until === undefined ? undefined : { gte: from, lt: until };
  return codeId === undefined ? { shelf, scannedAt } : { codeId, shelf, scannedAt };
}

function scopesOf(wall: string, codeId: string | undefined): string[] {
  if (codeId !== undefined) return [codeScope(wall, codeId)];
  return Array.from({ length: PARTITIONS }, (_, partition) => workspaceScope(wall, partition));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
