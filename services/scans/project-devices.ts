import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Write } from "#runtime/store.ts";
import { type DeviceDoc, deviceModel } from "./model.ts";
import type { Counted, Target } from "./project-touches.ts";
import { wallOf } from "./scope.ts";
import { standsIn } from "./step.ts";
import { countInSlot, slotOf, type Tally } from "./tally.ts";

/** A device of a code as a step moves it. */
interface Moving {
  scope: string;
  /** As stored; undefined: there was none. */
  stored: DeviceDoc | undefined;
  /** Slot of its last scan, and the position that it is known from. */
  slot: number;
  position: number;
}

const marketing = new Set([true, false].map((test) => wallOf({ purpose: Purpose.MARKETING, test })));

/**
 * Moves each device of a code to the slot of its last scan, and with it the one that it counts in: one down where it was,
 * one up where it is. The sum over slots from a time on is then the number of devices that scanned since, exactly.
 * A scan that is older than the last one changes nothing. What this step has moved at an earlier run is counted again, and
 * not moved; what a later step has moved was counted long ago.
 */
export async function moveDevices(counted: readonly Counted[], target: Target): Promise<void> {
  const { store, workspace, tally, step } = target;
  const scans = counted.filter(({ doc }) => doc.deviceId !== undefined && marketing.has(doc.wall));
  if (scans.length === 0) return;
  const collection = store.collection(deviceModel).of(workspace);
  const stored = await collection.getMany([...new Set(scans.map(idOf))]);
  const writes: Write<DeviceDoc>[] = [];
  for (const [id, moving] of lastScans(scans, stored)) {
    const known = moving.stored;
    const stands = known === undefined ? "before" : standsIn(step, known.position);
    if (stands === "after") continue;
    if (known !== undefined && stands === "in") countMove(tally, { ...moving, ...known });
    else if (known === undefined || moving.slot > known.slot) {
      const { slot, position, scope } = moving;
      countMove(tally, { scope, slot, position, before: known?.slot });
      writes.push(writeOf(known, { id, slot, position, before: known?.slot }));
    }
  }
  // What another run of this step has written meanwhile is the same: whoever counts it, counts the same.
  await collection.bulk(writes);
}

function idOf({ doc, scope }: Counted): string {
  return `${scope}/${doc.deviceId}`;
}

/** The scan of each device that is its last one in the step, the first of several in one slot. */
function lastScans(scans: readonly Counted[], stored: ReadonlyMap<string, DeviceDoc>): Map<string, Moving> {
  const last = new Map<string, Moving>();
  for (const scan of scans) {
    const { doc, scope } = scan;
    const id = idOf(scan);
    const slot = slotOf(doc.scannedAt);
    const known = last.get(id);
    if (known === undefined || slot > known.slot)
      last.set(id, { scope, stored: stored.get(id), slot, position: doc.position });
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
  countInSlot(tally, { scope, slot, path: "devices", by: 1, position });
  if (before !== undefined) countInSlot(tally, { scope, slot: before, path: "devices", by: -1, position });
}

function writeOf(stored: DeviceDoc | undefined, { id, slot, before, position }: DeviceDoc): Write<DeviceDoc> {
  if (stored === undefined) return { kind: "insert", doc: { id, slot, position } };
  return { kind: "update", id, change: { set: { slot, before, position } }, guard: { version: stored.version } };
}
