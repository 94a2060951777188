import type { ServiceDeps } from "#runtime/service.ts";
import type { Duck, Session } from "../engine/duck.ts";
import { fail } from "../reasons.ts";
import { decideDevices } from "./devices.ts";
import { asksDevices, changedDevicesTable, deviceParamsOf, ruledTable } from "./devices-sql.ts";
import { countChanged, readDifference } from "./difference.ts";
import { judgeKinds } from "./judge.ts";
import { hasOwnRules } from "./messages.ts";
import { partModel, type RevisionDoc } from "./model.ts";
import { keepParts, removeParts } from "./parts.ts";
import { changedTable, JUDGED_TABLE, paramsOf, type Range } from "./sql.ts";

/** The most touches that one revision changes: their decisions are kept until it is applied. */
const MOST_CHANGED = 1_000_000;

/** How much of the work is done when kinds are judged, when devices are decided, and when the difference is known. */
const JUDGED = 0.2;
const DECIDED = 0.5;
const ADDED_UP = 0.6;

/** What computes a difference. */
export interface Computing extends Pick<ServiceDeps, "client" | "store"> {
  duck: Duck;
  workspace: string;
  doc: RevisionDoc;
  signal: AbortSignal;
  /** Told how much is done, from 0 to 1; rejects when nobody wants it any more. */
  onProgress: (progress: number) => Promise<void>;
}

/**
 * Computes in one snapshot of the table what the rules of a revision change, and keeps each decision. Nothing else is
 * changed; computed again after a crash, it begins anew.
 */
export async function computeDifference(computing: Computing): Promise<Partial<RevisionDoc>> {
  const { duck, signal, store, workspace, doc } = computing;
  const parts = store.collection(partModel).of(workspace);
  await removeParts(parts, doc.id);
  return duck.snapshot((session) => inSnapshot(session, computing), signal);
}

async function inSnapshot(session: Session, computing: Computing): Promise<Partial<RevisionDoc>> {
  const { client, store, workspace, doc, signal, onProgress } = computing;
  const { rules, id: revisionId } = doc;
  const range = rangeOf(workspace, doc);
  const [mark] = await session.rows("SELECT position FROM watermark");
  let version = "";
  if (rules.builtIn)
    version = await judgeKinds(session, range, {
      ...{ client, workspace, signal },
      onProgress: (part) => onProgress(part * JUDGED),
    });
  else await session.run(JUDGED_TABLE);
  await findChanged(session, range, computing);
  const changed = await countChanged(session);
  if (changed > MOST_CHANGED) throw fail("REVISION_TOO_LARGE", { most: MOST_CHANGED, changed });
  const difference = await readDifference(session, range);
  await onProgress(ADDED_UP);
  const parts = await keepParts(
    session,
    { parts: store.collection(partModel).of(workspace), revisionId, changed },
    (part) => onProgress(ADDED_UP + part * (1 - ADDED_UP)),
  );
  return { difference, parts, upTo: Number(mark?.position ?? 0), rulesVersion: versionOf(doc, version) };
}

/** Makes the table `changed`: what the rules change. */
async function findChanged(session: Session, range: Range, computing: Computing): Promise<void> {
  const { client, workspace, doc, signal, onProgress } = computing;
  const { rules } = doc;
  const { identity } = rules;
  const params = { ...range.params, ...paramsOf(rules) };
  if (identity === undefined) {
    await session.run(changedTable(range, rules), params);
    return;
  }
  await session.run(ruledTable(range, rules), params);
  if (asksDevices(identity))
    await decideDevices(session, {
      ...{ client, workspace, signal, rules: identity, most: MOST_CHANGED },
      onProgress: (part) => onProgress(JUDGED + part * (DECIDED - JUDGED)),
    });
  await session.run(changedDevicesTable(identity), { ...params, ...deviceParamsOf(identity) });
}

/** Events of one world, of all verdicts. */
function rangeOf(workspace: string, { test, start, end, floor = start, linkId }: RevisionDoc): Range {
  const time = "scanned_at >= $start AND scanned_at <= $end";
  const sql = `workspace = $workspace AND test = $test AND ${time}${linkId === undefined ? "" : " AND link_id = $link"}`;
  const from = BigInt(Math.max(start, floor));
  return {
    sql,
    params: { workspace, test, start: from, end: BigInt(end), ...(linkId !== undefined && { link: linkId }) },
  };
}

/** The version of the built-in rules, and the revision where it has rules of its own. */
function versionOf({ id, rules }: RevisionDoc, builtIn: string): string {
  return [...(rules.builtIn ? [builtIn] : []), ...(hasOwnRules(rules) ? [id] : [])].join("+");
}
