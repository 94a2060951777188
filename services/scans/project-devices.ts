import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Outcome, Write } from "#runtime/store.ts";
import { type DeviceDoc, deviceModel } from "./model.ts";
import type { Counted, Target } from "./project-touches.ts";
import { wallOf } from "./scope.ts";
import { countInSlot, slotOf, type Tally } from "./tally.ts";

/** A device of a code while a step moves it. */
interface Moving {
  doc: DeviceDoc;
  scope: string;
  /** Version that was read; undefined: there was none. */
  version: number | undefined;
  /** Position of the store's document: what that position moved is counted again, once. */
  stored: number;
  repeated: boolean;
  changed: boolean;
}

const marketing = new Set([true, false].map((test) => wallOf({ purpose: Purpose.MARKETING, test })));

/**
 * Moves each device of a code to the slot of its last scan, and with it the one that it counts in: one down where it was,
 * one up where it is. The sum over slots from a time on is then the number of devices that scanned since, exactly.
 * A scan that is older than the last one changes nothing.
 */
export async function moveDevices(counted: readonly Counted[], { store, workspace, tally }: Target): Promise<void> {
  const scans = counted.filter(({ doc }) => doc.deviceId !== undefined && marketing.has(doc.wall));
  if (scans.length === 0) return;
  const ids = scans.map(({ doc, scope }) => `${scope}/${doc.deviceId}`);
  const collection = store.collection(deviceModel).of(workspace);
  const stored = await collection.getMany([...new Set(ids)]);
  const moving = new Map<string, Moving>();
  for (const [index, { doc, scope }] of scans.entries()) {
    const id = ids[index] as string;
    const scan = { slot: slotOf(doc.scannedAt), position: doc.position };
    const known = moving.get(id) ?? (stored.has(id) ? movingOf(stored.get(id) as DeviceDoc, scope) : undefined);
    if (known === undefined) moving.set(id, appear(tally, { id, scope, ...scan }));
    else {
      moving.set(id, known);
      move(tally, known, scan);
    }
  }
  const changed = [...moving.values()].filter((device) => device.changed);
  const outcomes = await collection.bulk(changed.map(writeOf));
  if (!outcomes.every(isApplied)) throw new Error("devices were moved by another projection; it runs again");
}

function movingOf(doc: DeviceDoc, scope: string): Moving {
  return { doc, scope, version: doc.version, stored: doc.position, repeated: false, changed: false };
}

interface Scan {
  slot: number;
  position: number;
}

function appear(tally: Tally, { id, scope, slot, position }: Scan & { id: string; scope: string }): Moving {
  countInSlot(tally, { scope, slot, path: "devices", by: 1, position });
  return { doc: { id, slot, position }, scope, version: undefined, stored: 0, repeated: false, changed: true };
}

function move(tally: Tally, device: Moving, { slot, position }: Scan): void {
  const { doc, scope } = device;
  if (position === device.stored) {
    if (!device.repeated) countMove(tally, { scope, from: doc.before, to: doc.slot, position });
    device.repeated = true;
    return;
  }
  if (slot <= doc.slot) return;
  countMove(tally, { scope, from: doc.slot, to: slot, position });
  const before = position === doc.position ? doc.before : doc.slot;
  device.doc = { ...doc, slot, before, position };
  device.changed = true;
}

function countMove(
  tally: Tally,
  { scope, from, to, position }: { scope: string; from: number | undefined; to: number; position: number },
): void {
  countInSlot(tally, { scope, slot: to, path: "devices", by: 1, position });
  if (from !== undefined) countInSlot(tally, { scope, slot: from, path: "devices", by: -1, position });
}

function writeOf({ doc, version }: Moving): Write<DeviceDoc> {
  if (version === undefined) return { kind: "insert", doc };
  const { id, slot, before, position } = doc;
  return { kind: "update", id, change: { set: { slot, before, position } }, guard: { version } };
}

function isApplied(outcome: Outcome<DeviceDoc>): boolean {
  return outcome.kind === "applied";
}
