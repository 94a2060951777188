import type { Store } from "#runtime/store.ts";
import { deviceOf } from "../rules.ts";
import { visitorsOf } from "../visitors/documents.ts";
import type { Arrived } from "./columns.ts";

/**
 * Which touches of a workspace are forgotten, as the log told of it: those of a device that was forgotten after they arrived,
 * while they were of it. A touch that was of another device before or afterwards is not forgotten with that.
 */
export async function readForgotten(
  workspace: string,
  { store }: { store: Store },
): Promise<(event: Arrived) => boolean> {
  const positions = new Map<string, number>();
  const nameOf = (test: boolean, device: string) => `${test}/${device}`;
  for await (const docs of visitorsOf({ store, workspace }).stream({}))
    for (const { test, visitorId, erasedTo } of docs)
      if (erasedTo !== undefined) positions.set(nameOf(test, deviceOf(visitorId)), erasedTo);
  return ({ touch, position, formerDevices = [] }) => {
    let since = position;
    for (const { deviceId, until } of [
      ...formerDevices,
      { deviceId: touch.deviceId, until: Number.POSITIVE_INFINITY },
    ]) {
      const erasedTo = positions.get(nameOf(touch.test, deviceId)) ?? -1;
      if (deviceId !== "" && erasedTo >= since && erasedTo < until) return true;
      since = until;
    }
    return false;
  };
}
