import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Store } from "#runtime/store.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import { restOf } from "./rest.ts";
import { codeScope, filterReason, shelfOf, wallOf, workspaceScope } from "./scope.ts";
import type { Step } from "./step.ts";
import { book, countCountry, countInSlot, countScan, slotOf, type Tally } from "./tally.ts";

/** A touch as it stands on the log. */
export interface Arrived {
  touch: Touch;
  position: number;
  partition: number;
  arrivedAt: number;
}

/** What a step of the projection works on. */
export interface Target {
  step: Step;
  store: Store;
  workspace: string;
  tally: Tally;
}

/** A touch that counts. */
export interface Counted {
  doc: TouchDoc;
  scope: string;
}

/**
 * Makes a document of each touch, and counts and books it. A touch whose id is known is a duplicate, unless this very
 * position made the document at an earlier run. Returns the scans of people that count, in order.
 */
export async function recordTouches(arrived: readonly Arrived[], target: Target): Promise<Counted[]> {
  if (arrived.length === 0) return [];
  const docs = arrived.map(({ touch, position, arrivedAt }) => ({
    ...docOf(touch, position),
    rest: restOf(touch, arrivedAt),
  }));
  const ours = await insertNew(docs, target);
  const counted: Counted[] = [];
  for (const [index, doc] of docs.entries()) {
    const one = arrived[index] as Arrived;
    const arrival = { ...one, test: one.touch.test };
    const isNew = ours.has(doc);
    book(target.tally, arrival, { path: "accepted", by: 1 });
    book(target.tally, arrival, { path: isNew ? fateOf(doc) : "duplicate", by: 1 });
    if (!isNew) continue;
    const scope = codeScope(doc.wall, doc.codeId);
    countTouch(target.tally, { ...one, doc, scope });
    if (doc.reason === undefined) counted.push({ doc, scope });
  }
  return counted;
}

/** The documents that are the first of their id: made now, or by this position at an earlier run of the step. */
async function insertNew(docs: readonly TouchDoc[], { store, workspace }: Target): Promise<ReadonlySet<TouchDoc>> {
  const firsts = new Map<string, TouchDoc>();
  for (const doc of docs) if (!firsts.has(doc.id)) firsts.set(doc.id, doc);
  const news = [...firsts.values()];
  const collection = store.collection(touchModel).of(workspace);
  const outcomes = await collection.bulk(news.map((doc) => ({ kind: "insert", doc })));
  return new Set(
    news.filter(({ position }, index) => {
      const outcome = outcomes[index];
      return outcome?.kind === "applied" || (outcome?.kind === "exists" && outcome.doc.position === position);
    }),
  );
}

function fateOf({ reason }: TouchDoc): string {
  return reason === undefined ? "counted" : `filtered.${reason}`;
}

/** Marketing scans have series and countries; of touches with an API of their own only the total is asked here. */
function countTouch(tally: Tally, { touch, doc, scope, position, partition }: Arrived & Counted): void {
  const { scannedAt, reason = "", country = "" } = doc;
  const scan = { scope, scannedAt, reason, country, position, by: 1 };
  if (touch.purpose !== Purpose.MARKETING) {
    if (reason === "") tally.totals.add({ id: scope, made: {} }, { position, path: "scans", by: 1 });
    return;
  }
  countScan(tally, scan);
  countScan(tally, { ...scan, scope: workspaceScope(doc.wall, partition) });
  if (reason !== "") return;
  countCountry(tally, scan);
  if (!doc.started) return;
  const slot = slotOf(scannedAt);
  countInSlot(tally, { scope, slot, path: "conversations", by: 1, position });
  countInSlot(tally, { scope, slot, path: "messages", by: doc.messages, position });
}

/** The document of a touch that stands at a position of the log. */
export function docOf(touch: Touch, position: number): TouchDoc {
  const { place, device, conversationMessages: messages } = touch;
  const wall = wallOf(touch);
  const isHuman = touch.verdict === Verdict.HUMAN;
  return {
    id: touch.id,
    wall,
    shelf: shelfOf(wall, isHuman),
    codeId: touch.codeId,
    shortId: touch.shortId || undefined,
    scannedAt: touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt),
    reason: isHuman ? undefined : filterReason(touch.verdictReason),
    country: place?.country || undefined,
    region: place?.region || undefined,
    city: place?.city || undefined,
    device: device?.type ?? 0,
    deviceId: touch.deviceId || undefined,
    started: touch.conversationStarted || messages > 0,
    messages,
    metadata: touch.metadata,
    position,
  };
}
