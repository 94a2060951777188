import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { type DeviceType, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogRecord } from "#runtime/log.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { type Decision, type PartDoc, partModel, type RevisionDoc, revisionModel } from "./model.ts";
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
    const lastPosition = await log.append(recordsOf(workspace, doc, part), `${doc.id}.${index}`);
    applied += part.touches;
    // Never down: somebody else may go on with it when this process stood still.
    const max = { partsApplied: index + 1, applied, lastPosition, progress: (index + 1) / count };
    await revisions.update(doc.id, { max });
  }
}

/** A record for each code. */
function recordsOf(workspace: string, doc: RevisionDoc, { codes, decisions }: PartDoc): LogRecord[] {
  return codes.list.map(({ codeId, touches }) => {
    const revisions = touches.map(([touchId, decision]) => ({
      ...{ touchId, codeId },
      ...verdictOf(decisions.list[decision] as Decision),
    }));
    const message = create(TouchesRevisedSchema, {
      ...{ workspaceId: workspace, revisionId: doc.id, test: doc.test, revisions },
      rules: doc.rulesVersion ?? "",
      revisedAt: timestampFromMs(doc.revisedAt ?? doc.createdAt),
    });
    return { subject: "touches.revised", key: codeId, payload: toBinary(TouchesRevisedSchema, message) };
  });
}

function verdictOf({ human, reason, actor, device }: Decision) {
  const read = device && { ...device, type: device.type as DeviceType };
  const verdict = human ? Verdict.HUMAN : Verdict.BOT;
  return { verdict, verdictReason: reason, actor, ...(read !== undefined && { device: read }) };
}
