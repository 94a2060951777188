import type { HandlerContext } from "@connectrpc/connect";
import type { ListLinkTagsRequest } from "#gen/waymark/codes/v1/links_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Collection, Where } from "#runtime/store.ts";
import { auditAll } from "./calls.ts";
import { addTags } from "./create.ts";
import { tell } from "./desk.ts";
import { toLinkTag } from "./messages.ts";
import { type CodeDoc, codeModel, codeTagModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { mentions, tagId } from "./rules.ts";

/** Links that others change while their tag is taken are looked at again so often. */
const TRIES = 10;

/** A page of tags. A page token is the name of the last one, in base64url. */
export async function listTags(deps: ServiceDeps, request: ListLinkTagsRequest, handler: HandlerContext) {
  const { workspace, test } = contextOf(handler).principal;
  const { search, pageSize = 100 } = request;
  const limit = Math.min(pageSize, 1000);
  const after = Buffer.from(request.pageToken || request.cursor, "base64url").toString();
  const tags = deps.store.collection(codeTagModel).of(workspace);
  const found = [];
  for await (const chunk of tags.stream({ where: { test, name: { gt: after } }, sort: [["name", 1]] })) {
    found.push(...chunk.filter(({ name }) => search === "" || mentions([name], search)));
    if (found.length > limit) break;
  }
  const page = found.slice(0, limit);
  const last = found.length > limit ? (page.at(-1)?.name ?? "") : "";
  return { tags: page.map(toLinkTag), nextPageToken: Buffer.from(last).toString("base64url") };
}

/** A tag that is being deleted. */
interface Leaving {
  id: string;
  name: string;
  test: boolean;
  workspace: string;
  at: number;
}

/**
 * Takes a tag from all links that the caller can see, deleted ones too, and forgets it; false when there is none. The tag
 * itself goes last and says of which links others may not know yet, so that a call that ends in between can be repeated. Who
 * gives it to a link meanwhile, makes it again.
 */
export async function removeTag(deps: ServiceDeps, name: string, handler: HandlerContext): Promise<boolean> {
  const context = contextOf(handler);
  const { workspace, test } = context.principal;
  const tag: Leaving = { id: tagId(name, test), name, test, workspace, at: context.now() };
  const tags = deps.store.collection(codeTagModel).of(workspace);
  const codes = deps.store.collection(codeModel).of(workspace);
  const where: Where<CodeDoc> = { purpose: Purpose.MARKETING, test, tags: { has: name } };
  const known = await tags.get(tag.id);
  if (known?.takenFrom !== undefined) {
    const docs = await codes.getMany(known.takenFrom);
    await tell(deps, [...docs.values()], { deed: "updated", handler });
  }
  let taken = 0;
  for await (const chunk of codes.stream({ where })) {
    await note(deps, tag, chunk);
    const docs = await takeTag(codes, chunk, tag);
    await tell(deps, docs, { deed: "updated", handler });
    taken += docs.length;
  }
  await tags.delete(tag.id);
  const [given] = await codes.find({ where, limit: 1 });
  if (given !== undefined) await addTags(deps.store, { names: [name], test, workspace, at: tag.at });
  if (known === undefined && taken === 0) return false;
  await auditAll(deps, [{ action: "codes.delete_tag", object: tag.id }], handler);
  return true;
}

/** Notes at the tag from which links it is about to be taken. A tag that only links know is made for that. */
async function note({ store }: ServiceDeps, { id, name, test, workspace, at }: Leaving, docs: readonly CodeDoc[]) {
  await addTags(store, { names: [name], test, workspace, at });
  const takenFrom = docs.map((doc) => doc.id);
  await store.collection(codeTagModel).of(workspace).update(id, { set: { takenFrom } });
}

/** The links without the tag, as they are stored now. What others write at the same time is kept. */
async function takeTag(
  codes: Collection<CodeDoc>,
  docs: readonly CodeDoc[],
  { name, at }: Leaving,
): Promise<CodeDoc[]> {
  const done: CodeDoc[] = [];
  let open = docs;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const next = open.map((doc) => ({ ...doc, tags: doc.tags.filter((tag) => tag !== name), updatedAt: at }));
    const outcomes = await codes.bulk(
      next.map(({ id, version, tags, updatedAt }) => ({
        kind: "update",
        id,
        change: { set: { tags, updatedAt } },
        guard: { version: version as number },
      })),
    );
    done.push(...next.filter((_, i) => outcomes[i]?.kind === "applied"));
    const missed = open.filter((_, i) => outcomes[i]?.kind !== "applied").map(({ id }) => id);
    if (missed.length === 0) return done;
    open = [...(await codes.getMany(missed)).values()].filter(({ tags }) => tags.includes(name));
  }
  throw fail("LINK_TAG_BUSY", { name });
}
