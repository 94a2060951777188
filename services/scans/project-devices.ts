import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Write } from "#runtime/store.ts";
import { type DeviceDoc, deviceModel, NO_SLOT } from "./model.ts";
import { findLastScans, type Sought } from "./project-last-scans.ts";
import type { Flipped } from "./project-revisions.ts";
import type { Counted, Target } from "./project-touches.ts";
import { wallOf } from "./scope.ts";
import { standsIn } from "./step.ts";
import { countInSlot, slotOf, type Tally } from "./tally.ts";

/** A device of a code as a step moves it. */
interface Moving {
  scope: string;
  /** Slot of its last scan, and the position that it is known from. */
  slot: number;
  position: number;
  /** Slot of its first scan in the step. */
  first: number;
}

const marketing = new Set([true, false].map((test) => wallOf({ purpose: Purpose.MARKETING, test })));

/**
 * Moves each device of a code to the slot of its last scan, and with it the one that it counts in: one down where it was,
 * one up where it is. The sum over slots from a time on is then the number of devices that scanned since, exactly.
 * A scan that is older than the last one moves nothing. What this step has moved at an earlier run is counted again, and
 * not moved; what a later step has moved was counted long ago.
 */
export async function moveDevices(
  counted: readonly Counted[],
  target: Target,
  flipped: readonly Flipped[],
): Promise<void> {
  const { store, workspace, tally, step } = target;
  const last = lastScans(counted.filter(({ doc }) => doc.deviceId !== undefined && marketing.has(doc.wall)));
  await placeAgain(flipped, { target, last });
  for (const { scope, deviceId } of flipped) last.delete(`${scope}/${deviceId}`);
  if (last.size === 0) return;
  const collection = store.collection(deviceModel).of(workspace);
  const stored = await collection.getMany([...last.keys()]);
  const writes: Write<DeviceDoc>[] = [];
  for (const [id, { scope, slot, position, first }] of last) {
    const known = stored.get(id);
    const stands = known === undefined ? "before" : standsIn(step, known.position);
    if (stands === "after") continue;
    if (known !== undefined && stands === "in") countMove(tally, { ...known, scope });
    else if (known === undefined || slot > known.slot) {
      const moved = { id, slot, position, before: known?.slot, first: firstOf(known, first) };
      countMove(tally, { ...moved, scope });
      writes.push(writeOf(known, moved));
    } else if (known.first !== undefined && first < known.first)
      writes.push({ kind: "update", id, change: { set: { first } }, guard: { version: known.version ?? 0 } });
  }
  // What another run of this step has written meanwhile is the same: whoever counts it, counts the same.
  await collection.bulk(writes);
}

/**
 * Finds the last scan of a person again for devices whose scans were judged again, among all documents as they are after the
 * step. The document of such a device is written by every step that does so, moved or not: so a run that comes late meets a
 * newer one, and what it has read counts nothing. Numbers are made from what stands there afterwards, for the same reason.
 */
async function placeAgain(
  flipped: readonly Flipped[],
  { target, last }: { target: Target; last: ReadonlyMap<string, Moving> },
): Promise<void> {
  if (flipped.length === 0) return;
  const { store, workspace, tally, step } = target;
  const collection = store.collection(deviceModel).of(workspace);
  const byId = Map.groupBy(flipped, ({ scope, deviceId }) => `${scope}/${deviceId}`);
  const stored = await collection.getMany([...byId.keys()]);
  const sought = new Map<string, Sought>();
  for (const [id, some] of byId) {
    const known = stored.get(id);
    if (known === undefined || standsIn(step, known.position) === "before")
      sought.set(id, soughtOf(some, { known, moving: last.get(id) }));
  }
  const found = await findLastScans(store, { workspace, sought: [...sought.values()] });
  await collection.bulk(
    [...sought].map(([id, one]) => {
      const position = Math.max(...(byId.get(id) ?? []).map((flip) => flip.position));
      const first = Number.isFinite(one.from) ? one.from : undefined;
      const known = stored.get(id);
      return writeOf(known, { id, slot: found.get(one) ?? NO_SLOT, position, before: known?.slot, first });
    }),
  );
  const placed = await collection.getMany([...byId.keys()]);
  for (const [id, [{ scope }]] of byId as Map<string, [Flipped]>) {
    const now = placed.get(id);
    if (now !== undefined && standsIn(step, now.position) === "in") countMove(tally, { ...now, scope });
  }
}

/** Between which slots the last scan of a device may be: those that are known of it, of this step, and that were judged again. */
function soughtOf(
  some: readonly Flipped[],
  { known, moving }: { known: DeviceDoc | undefined; moving: Moving | undefined },
): Sought {
  const [{ codeId, shelf, deviceId }] = some as [Flipped];
  const slots = some.map(({ slot }) => slot);
  if (moving !== undefined) slots.push(moving.slot, moving.first);
  const from = known === undefined ? Math.min(...slots) : Math.min(known.first ?? Number.NEGATIVE_INFINITY, ...slots);
  return { codeId, shelf, deviceId, from, to: Math.max(known?.slot ?? NO_SLOT, ...slots) };
}

function firstOf(known: DeviceDoc | undefined, first: number): number | undefined {
  if (known === undefined) return first;
  return known.first === undefined ? undefined : Math.min(known.first, first);
}

/** The scan of each device that is its last one in the step, the first of several in one slot. */
function lastScans(scans: readonly Counted[]): Map<string, Moving> {
  const last = new Map<string, Moving>();
  for (const { doc, scope } of scans) {
    const id = `${scope}/${doc.deviceId}`;
    const slot = slotOf(doc.scannedAt);
    const known = last.get(id);
    const first = Math.min(slot, known?.first ?? slot);
    if (known === undefined || slot > known.slot) last.set(id, { scope, slot, position: doc.position, first });
    else known.first = first;
  }
  return last;
}

interface Move {
  scope: string;
  slot: number;
  before?: number | undefined;
  position: number;
}

function countMove(tally: Tally, { scope, slot, before, position }: Move): void {
  if (slot === before) return;
  if (slot !== NO_SLOT) countInSlot(tally, { scope, slot, path: "devices", by: 1, position });
  if (before !== undefined && before !== NO_SLOT)
    countInSlot(tally, { scope, slot: before, path: "devices", by: -1, position });
}

interface Placed {
  id: string;
  slot: number;
  before: number | undefined;
  first: number | undefined;
  position: number;
}

function writeOf(stored: DeviceDoc | undefined, { id, slot, before, first, position }: Placed): Write<DeviceDoc> {
  const known = first === undefined ? {} : { first };
  if (stored === undefined) return { kind: "insert", doc: { id, slot, position, ...known } };
  const set = { slot, position, ...known, ...(before !== undefined && { before }) };
  return { kind: "update", id, change: { set }, guard: { version: stored.version ?? 0 } };
}
