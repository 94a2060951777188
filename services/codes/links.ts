import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import type {
  CreateLinkRequest,
  LinkService,
  ListLinksRequest,
  UpdateLinkRequest,
} from "#gen/waymark/codes/v1/links_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { countScans, totalsOf } from "./calls.ts";
import type { Draft } from "./create.ts";
import { type Edit, editCode, findCode, findCodes, makeCodes, removeCode } from "./desk.ts";
import { linkPage } from "./link-pages.ts";
import { listTags, removeTag } from "./link-tags.ts";
import { LBID, picturesOf, toLink } from "./messages.ts";
import { type CodeDoc, codeModel, codeTagModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { readRouting, storeRouting } from "./routing-json.ts";
import { checkRouting } from "./routing-rules.ts";
import { checkMetadata, checkTags, checkTexts, checkUrl, nameOfUrl, readTags, tagId } from "./rules.ts";
import { freeShortId, isFree } from "./short-ids.ts";

const NOTHING_COUNTED: ReadonlyMap<string, bigint> = new Map();

/** Handlers of the Analytics API's links. */
export function linkHandlers(deps: ServiceDeps): ServiceImpl<typeof LinkService> {
  return {
    listLinks: (request, handler) => listLinks(deps, request, handler),
    async createLink(request, handler) {
      const docs = await makeCodes(deps, [draftOf(request, "")], handler);
      const [link] = await linksOf(deps, { docs, totals: NOTHING_COUNTED }, handler);
      return { link, workflowSteps: [] };
    },
    createBulkLinks: ({ links }, handler) => createLinks(deps, links, handler),
    createLinkBatch: ({ links }, handler) => createLinks(deps, links, handler),
    checkShortlink: async ({ shortlink }) => ({ available: await isFree(deps, shortlink) }),
    suggestShortlink: async () => ({ shortlink: await freeShortId(deps) }),
    resolveLinkPictures: async ({ linkIds }, handler) => {
      const docs = await findCodes(deps, [...new Set(linkIds)], handler);
      return { qrcodeSignedUrls: picturesOf([...docs.values()], deps.config) };
    },
    async getLink({ id }, handler) {
      return { link: await shown(deps, (await findCode(deps, id, handler)) ?? missing(id), handler) };
    },
    async updateLink(request, handler) {
      const { id } = request;
      const doc = await editCode(deps, { id, edit: editOf(request) }, handler);
      return { link: await shown(deps, doc ?? missing(id), handler) };
    },
    async deleteLink({ id }, handler) {
      if (!(await removeCode(deps, id, handler))) missing(id);
      return {};
    },
    listLinkTags: (request, handler) => listTags(deps, request, handler),
    async deleteLinkTag({ name }, handler) {
      if (!(await removeTag(deps, name, handler))) throw fail("LINK_TAG_NOT_FOUND", { name });
      return {};
    },
  };
}

/** Makes all of these links or none. */
async function createLinks(deps: ServiceDeps, links: readonly CreateLinkRequest[], handler: HandlerContext) {
  const drafts = links.map((link, i) => draftOf(link, `links[${i}].`));
  const docs = await makeCodes(deps, drafts, handler);
  return { links: await linksOf(deps, { docs, totals: NOTHING_COUNTED }, handler) };
}

function missing(id: string): never {
  throw fail("LINK_NOT_FOUND", { id });
}

async function shown(deps: ServiceDeps, doc: CodeDoc, handler: HandlerContext) {
  const totals = await totalsOf(deps, [doc], handler);
  const [link] = await linksOf(deps, { docs: [doc], totals }, handler);
  return link;
}

/** The links of a page with their tags: one read. */
async function linksOf(
  deps: ServiceDeps,
  { docs, totals }: { docs: readonly CodeDoc[]; totals: ReadonlyMap<string, bigint> },
  handler: HandlerContext,
) {
  const { workspace } = contextOf(handler).principal;
  const ids = new Set(docs.flatMap(({ tags, test }) => tags.map((tag) => tagId(tag, test))));
  const tags = await deps.store
    .collection(codeTagModel)
    .of(workspace)
    .getMany([...ids]);
  return docs.map((doc) => toLink(doc, { config: deps.config, totals, workspace, tags }));
}

/** The code that a link is to be. `at` stands before the names of fields in refusals: "links[3].". */
export function draftOf(request: CreateLinkRequest, at: string): Draft {
  const destination = checkUrl(request.destination, `${at}destination`);
  return {
    id: request.id || undefined,
    shortId: request.shortlink || undefined,
    called: { id: `${at}id`, shortId: `${at}shortlink` },
    purpose: Purpose.MARKETING,
    status: CodeStatus.ACTIVE,
    name: request.name || nameOfUrl(destination),
    prompt: "",
    destination,
    routing: request.routing && storeRouting(checkRouting(request.routing, `${at}routing`)),
    metadata: checkMetadata(request.metadata, `${at}metadata`),
    tags: checkTags(request.tags, `${at}tags`),
    touchParameter: request.conversionTracking ? LBID : undefined,
  };
}

function editOf(request: UpdateLinkRequest): Edit {
  const { name, destination, tags, tagsDelete, metadata, routing, conversionTracking } = request;
  const edit: Edit = {};
  if (name !== undefined) edit.name = name;
  if (destination !== undefined) edit.destination = checkUrl(destination, "destination");
  if (tags !== undefined) edit.tags = readTags(tags, "tags");
  if (tagsDelete) edit.tags = [];
  if (metadata !== undefined) edit.metadata = checkTexts(metadata, "metadata");
  if (conversionTracking !== undefined) edit.touchParameter = conversionTracking ? LBID : undefined;
  if (routing !== undefined) {
    const read = readRouting(routing, "routing");
    edit.routing = read && storeRouting(read);
  }
  return edit;
}

async function listLinks(deps: ServiceDeps, request: ListLinksRequest, handler: HandlerContext) {
  const { workspace, test } = contextOf(handler).principal;
  const { search, tags, sortBy, sortDirection, pageSize = 20 } = request;
  const { docs, total, nextToken } = await linkPage(deps.store.collection(codeModel).of(workspace), {
    selection: { test, search, tags },
    sortBy,
    sortDirection,
    limit: Math.min(pageSize, 200),
    token: request.pageToken || request.cursor,
    count: (ids) => countScans(deps, ids, forward(handler)),
  });
  const links = await linksOf(deps, { docs, totals: await totalsOf(deps, docs, handler) }, handler);
  return { links, nextPageToken: nextToken, totalCount: BigInt(total) };
}
