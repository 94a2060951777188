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
  const { verdict, verdictReason, actor, device } = one.revision;
  const rest: Record<string, string | number> = { ...doc.rest, rv: one.at, rr: one.rules };
  const judged: Judged = { shelf: doc.shelf, device: doc.device, reason: doc.reason, rest };
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

/** The document with its revision. */
export function revisedDoc({ reason: _before, ...doc }: TouchDoc, { reason, ...judged }: Judged): TouchDoc {
  return reason === undefined ? { ...doc, ...judged } : { ...doc, ...judged, reason };
}

function put(rest: Record<string, string | number>, name: string, text: string): void {
  if (text === "") delete rest[name];
  else rest[name] = text;
}
