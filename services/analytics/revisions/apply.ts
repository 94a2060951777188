import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchesRevisedSchema, type TouchRevisionSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { type DeviceType, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogRecord } from "#runtime/log.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { visitorOf } from "../rules.ts";
import { docIdOf, visitorsOf } from "../visitors/documents.ts";
import type { VisitorDoc } from "../visitors/model.ts";
import { AS_IT_WAS, type Decision, type PartDoc, partModel, type RevisionDoc, revisionModel } from "./model.ts";
import { partIdOf } from "./parts.ts";

/** What applies a revision. */
export interface Applying extends Pick<ServiceDeps, "store" | "log"> {
  workspace: string;
  doc: RevisionDoc;
  signal: AbortSignal;
}

/**
 * Appends the corrections of a revision, a document of decisions as one batch, and notes each that stands on the log. Whoever
 * goes on after a crash begins with the first that is not noted: should it stand there already, the log takes it once, or
 * else every reader does.
 */
export async function applyParts({ store, log, workspace, doc, signal }: Applying): Promise<void> {
  const revisions = store.collection(revisionModel).of(workspace);
  const parts = store.collection(partModel).of(workspace);
  let { applied, parts: count = 0 } = doc;
  for (let index = doc.partsApplied ?? 0; index < count; index += 1) {
    signal.throwIfAborted();
    const part = await parts.get(partIdOf(doc.id, index));
    if (part === undefined) throw new Error(`part ${index} of revision ${doc.id} is gone`);
    const codes = toldOf(part, await settledIn(part, { store, workspace, doc }));
    const max: Record<string, number> = { partsApplied: index + 1, progress: (index + 1) / count };
    if (codes.length > 0) {
      const records = codes.map((told) => recordOf(told, { workspace, doc }));
      max.lastPosition = await log.append(records, `${doc.id}.${index}`);
      for (const told of codes) applied += told.revisions.length;
      max.applied = applied;
    }
    // Never down: somebody else may go on with it when this process stood still.
    await revisions.update(doc.id, { max });
  }
}

/**
 * Devices whose visitor somebody has said something of since the difference was computed, or has forgotten: their touches stay
 * theirs, so that nobody who is known loses them, and none that goes stays under another name.
 */
async function settledIn(
  { codes, devices }: PartDoc,
  { store, workspace, doc }: Pick<Applying, "store" | "workspace" | "doc">,
): Promise<ReadonlySet<number>> {
  const before = new Set(codes.list.flatMap(({ touches }) => touches.map(([, , , device]) => device ?? AS_IT_WAS)));
  before.delete(AS_IT_WAS);
  if (before.size === 0) return before;
  const idOf = (at: number): string => docIdOf(doc.test, visitorOf(devices?.list[at] ?? ""));
  const known = await visitorsOf({ store, workspace }).getMany([...before].map(idOf));
  const isSettled = (visitor: VisitorDoc | undefined): boolean => {
    if (visitor === undefined) return false;
    return visitor.erasedAt === undefined || (visitor.erasedTo ?? 0) >= (doc.upTo ?? 0);
  };
  return new Set([...before].filter((at) => isSettled(known.get(idOf(at)))));
}

type Revised = MessageInitShape<typeof TouchRevisionSchema>;

/** What the log is told of one code. */
interface Told {
  codeId: string;
  revisions: Revised[];
}

function toldOf({ codes, decisions, devices }: PartDoc, settled: ReadonlySet<number>): Told[] {
  const told = codes.list.map(({ codeId, touches }) => ({
    codeId,
    revisions: touches.flatMap(([touchId, decision, after, before = AS_IT_WAS]): Revised[] => {
      const moves = after !== undefined && !settled.has(before);
      if (decision === AS_IT_WAS && !moves) return [];
      const judged = decision === AS_IT_WAS ? {} : verdictOf(decisions.list[decision] as Decision);
      return [{ touchId, codeId, ...judged, ...(moves && { deviceId: devices?.list[after] ?? "" }) }];
    }),
  }));
  return told.filter(({ revisions }) => revisions.length > 0);
}

function recordOf({ codeId, revisions }: Told, { workspace, doc }: Pick<Applying, "workspace" | "doc">): LogRecord {
  const message = create(TouchesRevisedSchema, {
    ...{ workspaceId: workspace, revisionId: doc.id, test: doc.test, revisions },
    rules: doc.rulesVersion ?? "",
    revisedAt: timestampFromMs(doc.revisedAt ?? doc.createdAt),
  });
  return { subject: "touches.revised", key: codeId, payload: toBinary(TouchesRevisedSchema, message) };
}

function verdictOf({ human, reason, actor, device }: Decision) {
  const read = device && { ...device, type: device.type as DeviceType };
  const verdict = human ? Verdict.HUMAN : Verdict.BOT;
  return { verdict, verdictReason: reason, actor, ...(read !== undefined && { device: read }) };
}
