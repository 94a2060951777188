import type { TouchRevision } from "#gen/waymark/events/v1/corrections_pb.ts";
import { Purpose, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { TouchDoc } from "./model.ts";
import type { Rest } from "./rest.ts";
import { filterReason, shelfOf, wallOf } from "./scope.ts";

/** How a touch is judged from now on, as it stands on the log. */
export interface Revision {
  revision: TouchRevision;
  /** Test data, or the others: a revision of the one never changes the other. */
  test: boolean;
  position: number;
  /** When it was judged, milliseconds since 1970. */
  at: number;
  /** Version of the rules that judged. */
  rules: string;
}

/** What a revision may change of a document. */
export interface Judged {
  shelf: string;
  device: number;
  /** Undefined: a person's. */
  reason: string | undefined;
  rest: Rest;
  /** Undefined: none is known. */
  deviceId: string | undefined;
  formerDevices: TouchDoc["formerDevices"];
}

/** Texts of a device by the short names of rest.ts. */
const DEVICE = {
  br: "browser",
  bv: "browserVersion",
  os: "platform",
  ov: "platformVersion",
  mk: "brand",
} as const;

/** A document after a revision; undefined when it does not concern it: another world's, another purpose's, or an older one. */
export function judgedBy(doc: TouchDoc, one: Revision): Judged | undefined {
  if (doc.wall !== wallOf({ purpose: Purpose.MARKETING, test: one.test })) return undefined;
  if (one.position <= Math.max(doc.position, doc.revisedPosition ?? 0)) return undefined;
  const { verdict, verdictReason, actor, device, deviceId } = one.revision;
  const rest: Record<string, string | number> = { ...doc.rest, rv: one.at, rr: one.rules };
  const devices = devicesAfter(doc, { deviceId, position: one.position });
  const judged: Judged = { shelf: doc.shelf, device: doc.device, reason: doc.reason, rest, ...devices };
  if (verdict !== Verdict.UNSPECIFIED) {
    const isHuman = verdict === Verdict.HUMAN;
    judged.shelf = shelfOf(doc.wall, isHuman);
    judged.reason = isHuman ? undefined : filterReason(verdictReason);
    put(rest, "ac", actor);
  }
  if (device !== undefined) {
    judged.device = device.type;
    for (const name of Object.keys(DEVICE) as (keyof typeof DEVICE)[]) put(rest, name, device[DEVICE[name]]);
  }
  return judged;
}

/** Which device it is of, and which it was of before. A document remembers one a revision that gave it another. */
function devicesAfter(
  { deviceId: before, formerDevices }: TouchDoc,
  { deviceId, position }: { deviceId: string | undefined; position: number },
): Pick<Judged, "deviceId" | "formerDevices"> {
  if (deviceId === undefined || deviceId === (before ?? "")) return { deviceId: before, formerDevices };
  return { deviceId: deviceId || undefined, formerDevices: { ...formerDevices, [position]: before ?? "" } };
}

/** The device that a document was of before a position; undefined: none was known. */
export function deviceBefore({ deviceId, formerDevices = {} }: TouchDoc, position: number): string | undefined {
  const next = Math.min(
    ...Object.keys(formerDevices)
      .map(Number)
      .filter((until) => until >= position),
  );
  return Number.isFinite(next) ? formerDevices[next] || undefined : deviceId;
}

/** What a revision may leave out. */
const OPTIONAL = ["reason", "deviceId"] as const;

/** The fields that a revision sets, and those that it takes away. */
export function changeOf(judged: Judged): { set: Partial<TouchDoc>; unset: (keyof TouchDoc)[] } {
  const unset = OPTIONAL.filter((name) => judged[name] === undefined);
  return { set: Object.fromEntries(Object.entries(judged).filter(([, value]) => value !== undefined)), unset };
}

/** The document with its revision. */
export function revisedDoc(doc: TouchDoc, judged: Judged): TouchDoc {
  const { set, unset } = changeOf(judged);
  const after = { ...doc, ...set };
  for (const name of unset) delete after[name];
  return after;
}

function put(rest: Record<string, string | number>, name: string, text: string): void {
  if (text === "") delete rest[name];
  else rest[name] = text;
}
