import { abreast } from "#runtime/runner/together.ts";
import type { Collection, Store, Where } from "#runtime/store.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import { SLOT_MS } from "./scope.ts";
import { slotOf } from "./tally.ts";

/** A device whose last scan of a code by a person is looked for. */
export interface Sought {
  codeId: string;
  /** Where its scans by a person stand. */
  shelf: string;
  deviceId: string;
  /** There is none before this slot, and none after the other. */
  from: number;
  to: number;
}

/** Slots that are looked through at a time, and devices that are looked for in one go. */
const ABREAST = 4;
const DEVICES_AT_ONCE = 500;

/**
 * Finds the slot of the last scan of each device, by what it is asked with; one that has none is absent. Most devices scan a
 * code once or in one sitting, so the slot that a device may be in last is looked through first, for all that may be in it;
 * only those that are not, and have scanned before, are looked for further back.
 */
export async function findLastScans(
  store: Store,
  { workspace, sought }: { workspace: string; sought: readonly Sought[] },
): Promise<Map<Sought, number>> {
  const touches = store.collection(touchModel).of(workspace);
  const found = new Map<Sought, number>();
  const bySlot = Map.groupBy(sought, ({ codeId, shelf, to }) => JSON.stringify([codeId, shelf, to]));
  await abreast(bySlot.values(), { most: ABREAST, run: (some) => look(touches, { some, found, isBack: false }) });
  const rest = sought.filter((one) => !found.has(one) && one.from < one.to);
  const byCode = Map.groupBy(rest, ({ codeId, shelf }) => JSON.stringify([codeId, shelf]));
  await abreast(byCode.values(), { most: ABREAST, run: (some) => look(touches, { some, found, isBack: true }) });
  return found;
}

interface Looking {
  /** Devices of one code. */
  some: readonly Sought[];
  found: Map<Sought, number>;
  /** Before the slot that they may be in last; else in it. */
  isBack: boolean;
}

async function look(touches: Collection<TouchDoc>, { some, found, isBack }: Looking): Promise<void> {
  for (let first = 0; first < some.length; first += DEVICES_AT_ONCE) {
    const devices = new Map(some.slice(first, first + DEVICES_AT_ONCE).map((one) => [one.deviceId, one]));
    await walk(touches, { devices, found, isBack });
  }
}

/** Goes back in time until all are found, or none can be any more. */
async function walk(
  touches: Collection<TouchDoc>,
  { devices, found, isBack }: Omit<Looking, "some"> & { devices: Map<string, Sought> },
): Promise<void> {
  const all = [...devices.values()];
  const [{ codeId, shelf }] = all as [Sought];
  const last = Math.max(...all.map(({ to }) => to));
  const first = isBack ? Math.min(...all.map(({ from }) => from)) : last;
  const where: Where<TouchDoc> = {
    ...{ codeId, shelf, deviceId: { in: [...devices.keys()] } },
    scannedAt: { ...(Number.isFinite(first) && { gte: first * SLOT_MS }), lt: (last + 1) * SLOT_MS },
  };
  for await (const docs of touches.stream({ where, sort: [["scannedAt", -1]] })) {
    for (const { deviceId = "", scannedAt } of docs) {
      const one = devices.get(deviceId);
      if (one === undefined) continue;
      found.set(one, slotOf(scannedAt));
      devices.delete(deviceId);
    }
    if (devices.size === 0) return;
  }
}
