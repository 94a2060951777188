import { createHash } from "node:crypto";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import type {
  CreateTargetRequest,
  DirectoryService,
  DrawCodeRequest,
  GetTargetsRequest,
  Target,
  UpdateTargetsRequest,
} from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { reasonOf, fail as refuse } from "#runtime/failure.ts";
import { draw, type Picture } from "#runtime/picture.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { publish } from "./calls.ts";
import { createCodes, type Draft } from "./create.ts";
import { readDrawing } from "./drawing.ts";
import { addressesOf, toTarget } from "./messages.ts";
import { type CodeDoc, codeModel, shortIdModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { openRecentTotals, type RecentTotals } from "./recent-totals.ts";
import { loadRouting } from "./routing-json.ts";
import { checkMetadata, checkUrl } from "./rules.ts";

const MAX_PICTURE_CACHE_BYTES = 16 * 1024 * 1024;

/** Handlers of what the gateway and other services ask about codes. */
export function directoryHandlers(deps: ServiceDeps): ServiceImpl<typeof DirectoryService> {
  const totals = openRecentTotals(deps);
  const pictures = new LRUCache<string, Picture>({
    maxSize: MAX_PICTURE_CACHE_BYTES,
    sizeCalculation: ({ data }) => data.length + 256,
  });
  return {
    resolveShortId: ({ shortId }, handler) => resolve({ deps, totals }, shortId, handler),
    getTargets: (request, handler) => getTargets(deps, request, handler),
    createTarget: (request, handler) => createTarget(deps, request, handler),
    updateTargets: (request, handler) => updateTargets(deps, request, handler),
    drawCode: (request) => drawCode({ deps, pictures }, request),
  };
}

/** The owner and the code of a printed short id, deleted ones too. */
async function lookUp({ store }: ServiceDeps, shortId: string): Promise<{ workspace: string; doc: CodeDoc }> {
  const entry = await store.collection(shortIdModel).of(SYSTEM_WORKSPACE).get(shortId);
  const doc = entry && (await store.collection(codeModel).of(entry.workspaceId).get(entry.codeId));
  if (entry === undefined || doc === undefined) throw fail("SHORT_ID_NOT_FOUND", { shortId });
  return { workspace: entry.workspaceId, doc };
}

async function resolve(
  { deps, totals }: { deps: ServiceDeps; totals: RecentTotals },
  shortId: string,
  handler: HandlerContext,
) {
  const { workspace, doc } = await lookUp(deps, shortId);
  const counted = doc.routing && loadRouting(doc.routing).rules.some(({ when }) => when?.scansBelow !== undefined);
  const scansTotal = counted ? await totals.of({ workspace, codeId: doc.id, test: doc.test }, contextOf(handler)) : 0n;
  return { target: { ...toTarget(doc, workspace), scansTotal } };
}

/** Waymark itself sees test codes and others; a key sees those of its kind. */
async function getTargets({ store }: ServiceDeps, request: GetTargetsRequest, handler: HandlerContext) {
  const { codeIds, shortIds, includeDeleted } = request;
  const { workspace, test, keyClass } = contextOf(handler).principal;
  const entries = await store.collection(shortIdModel).of(SYSTEM_WORKSPACE).getMany(shortIds);
  const ids = new Set(codeIds);
  for (const { workspaceId, codeId } of entries.values()) if (workspaceId === workspace) ids.add(codeId);
  const docs = await store
    .collection(codeModel)
    .of(workspace)
    .getMany([...ids]);
  const shown = [...docs.values()].filter(({ deleted }) => includeDeleted || !deleted);
  const seen = shown.filter((doc) => keyClass === "internal" || doc.test === test);
  return { targets: seen.map((doc) => toTarget(doc, workspace)) };
}

async function createTarget(deps: ServiceDeps, { target }: CreateTargetRequest, handler: HandlerContext) {
  const { workspace } = contextOf(handler).principal;
  if (!target?.codeId) throw refuse("INVALID_FIELD", { field: "target.code_id", must: "must be given" });
  const doc = await madeOnce(deps, draftOf(target), handler);
  if (doc.purpose !== target.purpose) throw fail("CODE_EXISTS", { field: "target.code_id", id: target.codeId });
  const { scan, png } = addressesOf(deps.config, doc.shortId);
  return { target: toTarget(doc, workspace), scanUrl: scan, qrImageUrl: png };
}

/** The code of the draft's id, made when there is none; two callers at once get the same. */
async function madeOnce(deps: ServiceDeps, draft: Draft & { id: string }, handler: HandlerContext): Promise<CodeDoc> {
  const context = contextOf(handler);
  const codes = deps.store.collection(codeModel).of(context.principal.workspace);
  const known = await codes.get(draft.id);
  if (known !== undefined) return known;
  try {
    const [made] = await createCodes(deps.store, [draft], context);
    await publish(deps, [made as CodeDoc], { deed: "created", context });
    return made as CodeDoc;
  } catch (error) {
    const other = reasonOf(error)?.reason === "CODE_EXISTS" ? await codes.get(draft.id) : undefined;
    if (other === undefined) throw error;
    return other;
  }
}

function draftOf(target: Target): Draft & { id: string } {
  const { codeId, purpose, destination } = target;
  if (purpose === Purpose.UNSPECIFIED || purpose === Purpose.MARKETING)
    throw refuse("INVALID_FIELD", { field: "target.purpose", must: "must be that of another service's object" });
  return {
    id: codeId,
    called: { id: "target.code_id", shortId: "target.short_id" },
    purpose,
    status: CodeStatus.ACTIVE,
    name: target.name,
    prompt: "",
    destination: destination === "" ? undefined : checkUrl(destination, "target.destination"),
    metadata: checkMetadata(target.metadata ?? {}, "target.metadata"),
    tags: [],
    parentId: target.parentId || undefined,
    ownerId: target.ownerId || undefined,
    touchParameter: target.touchParameter || undefined,
  };
}

async function updateTargets(deps: ServiceDeps, request: UpdateTargetsRequest, handler: HandlerContext) {
  const context = contextOf(handler);
  const { parentId } = request;
  if (parentId === "") throw refuse("INVALID_FIELD", { field: "parent_id", must: "must be given" });
  const set = { destination: checkUrl(request.destination, "destination"), updatedAt: context.now() };
  const codes = deps.store.collection(codeModel).of(context.principal.workspace);
  let updated = 0;
  for await (const chunk of codes.stream({ where: { parentId, destination: { ne: set.destination } } })) {
    await codes.bulk(chunk.map(({ id }) => ({ kind: "update", id, change: { set } })));
    await publish(deps, chunk, { deed: "updated", context });
    updated += chunk.length;
  }
  return { updated };
}

async function drawCode(
  { deps, pictures }: { deps: ServiceDeps; pictures: LRUCache<string, Picture> },
  request: DrawCodeRequest,
): Promise<Picture> {
  const drawing = readDrawing(request);
  const { doc } = await lookUp(deps, request.shortId);
  if (doc.deleted) throw fail("SHORT_ID_NOT_FOUND", { shortId: request.shortId });
  const { scan } = addressesOf(deps.config, doc.shortId);
  const key = createHash("sha256")
    .update(JSON.stringify([scan, drawing]))
    .digest("base64url");
  const known = pictures.get(key);
  if (known !== undefined) return known;
  const picture = await draw(scan, drawing);
  pictures.set(key, picture);
  return picture;
}
