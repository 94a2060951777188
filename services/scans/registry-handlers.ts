import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { ListTouchesRequest, RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { Store } from "#runtime/store.ts";
import { VERDICT_RULES } from "#runtime/touches.ts";
import { decideDevice } from "./decide-device.ts";
import type { UserAgent } from "./device.ts";
import type { Identities } from "./identity.ts";
import { judge } from "./judge.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import { scansProjection } from "./project.ts";
import { touchOf } from "./rest.ts";
import { shelfOf, wallOf } from "./scope.ts";

const MOST = 10_000;
const PAGE = 2_000;
const MOST_JUDGED = 1_000;

/** What lists of touches go through, one after the other. */
const SHELVES: readonly string[] = [false, true].flatMap((test) => {
  const wall = wallOf({ purpose: Purpose.MARKETING, test });
  return [shelfOf(wall, true), shelfOf(wall, false)];
});

/** What the handlers stand on. `lens`: how a user agent is read, and pseudonyms are made. */
export interface RegistryDeps {
  store: Store;
  lens: { userAgents: (text: string) => UserAgent; identities: Identities };
}

/** Handlers of RegistryService. */
export function registryHandlers({ store, lens }: RegistryDeps): ServiceImpl<typeof RegistryService> {
  return {
    async listCounted({ touches }, handler) {
      if (touches.length > MOST)
        throw fail("INVALID_FIELD", { field: "touches", must: `must have at most ${MOST} items` });
      // Asked before the documents: what is complete then is complete in them.
      const completeTo = await store.watermark(scansProjection.name);
      const documents = store.collection(touchModel).of(contextOf(handler).principal.workspace);
      const known = await documents.getMany(touches.map(({ id }) => id));
      const counted = touches.map(({ id, position }) => known.get(id)?.position === Number(position));
      return { counted, completeTo: BigInt(completeTo) };
    },
    listTouches: (request, handler) => listTouches(store, request, contextOf(handler).principal.workspace),
    judgeTouches: ({ touches }) => {
      if (touches.length > MOST_JUDGED)
        throw fail("INVALID_FIELD", { field: "touches", must: `must have at most ${MOST_JUDGED} items` });
      return { judgements: touches.map((touch) => judge(touch, lens.userAgents)), rules: VERDICT_RULES };
    },
    decideDevices({ touches, ...rules }, handler) {
      if (touches.length > MOST_JUDGED)
        throw fail("INVALID_FIELD", { field: "touches", must: `must have at most ${MOST_JUDGED} items` });
      const { workspace } = contextOf(handler).principal;
      return { devices: touches.map((touch) => decideDevice(touch, { workspace, rules, ...lens })) };
    },
  };
}

async function listTouches(store: Store, { after, limit }: ListTouchesRequest, workspace: string) {
  const completeTo = BigInt(await store.watermark(scansProjection.name));
  const { shelf, ties } = after ?? { shelf: 0, ties: 0 };
  const scannedAt = after === undefined ? Number.MIN_SAFE_INTEGER : Number(after.scannedAt);
  const docs = await store
    .collection(touchModel)
    .of(workspace)
    .find({
      where: { shelf: SHELVES[shelf] ?? "", scannedAt: { gte: scannedAt } },
      sort: [["scannedAt", 1]],
      skip: ties,
      limit: Math.min(Math.max(limit, 1), PAGE),
    });
  const touches = docs.map((doc) => {
    const { touch, arrivedAt } = touchOf(workspace, doc);
    const common = { position: BigInt(doc.position), recordedAt: timestampFromMs(arrivedAt) };
    return { touch, ...common, ...lastChangeOf(doc), formerDevices: formerOf(doc) };
  });
  return { touches, next: nextOf({ shelf, scannedAt, ties }, docs), completeTo };
}

function nextOf(at: { shelf: number; scannedAt: number; ties: number }, docs: readonly TouchDoc[]) {
  const last = docs.at(-1)?.scannedAt;
  if (last === undefined) {
    const shelf = at.shelf + 1;
    return shelf < SHELVES.length ? { shelf, scannedAt: BigInt(Number.MIN_SAFE_INTEGER), ties: 0 } : undefined;
  }
  const before = last === at.scannedAt ? at.ties : 0;
  const ties = before + docs.filter(({ scannedAt }) => scannedAt === last).length;
  return { shelf: at.shelf, scannedAt: BigInt(last), ties };
}

function formerOf({ formerDevices }: TouchDoc) {
  const former = formerDevices === undefined ? [] : Object.entries(formerDevices);
  return former.map(([until, deviceId]) => ({ deviceId, until: BigInt(until) }));
}

/** Where on the log it was changed last, and when and by which rules it was judged again. */
function lastChangeOf({ position, talkPosition = 0, revisedPosition = 0, rest }: TouchDoc) {
  const changed = BigInt(Math.max(position, talkPosition, revisedPosition));
  if (revisedPosition === 0) return { changed };
  return { changed, revisedAt: timestampFromMs(Number(rest?.rv ?? 0)), rules: String(rest?.rr ?? "") };
}
