import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  CodeSchema,
  CodeService,
  CreateCodeRequest,
  ListCodesRequest,
  RouteCodeRequest,
  UpdateCodeRequest,
} from "#gen/waymark/codes/v1/codes_pb.ts";
import { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import { type DeviceKind, route } from "#runtime/routing.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { countScans, totalsOf } from "./calls.ts";
import type { Draft } from "./create.ts";
import { type Edit, editCode, findCode, makeCodes, removeCode } from "./desk.ts";
import { pageOf } from "./listing.ts";
import { toCode } from "./messages.ts";
import { type CodeDoc, codeModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { loadRouting, readRouting, storeRouting } from "./routing-json.ts";
import { checkRouting } from "./routing-rules.ts";
import { checkMetadata, checkTags, checkUrl, readTags, readTemplate, readUrl, readWelcome } from "./rules.ts";

/** Handlers of the Scans API's codes. */
export function codeHandlers(deps: ServiceDeps): ServiceImpl<typeof CodeService> {
  return {
    async createCode(request, handler) {
      const [doc] = await makeCodes(deps, [draftOf(request)], handler);
      return { code: toCode(doc as CodeDoc, { config: deps.config, totals: new Map() }) };
    },
    listCodes: (request, handler) => listCodes(deps, request, handler),
    async getCode({ id }, handler) {
      return { code: await shown(deps, (await findCode(deps, id, handler)) ?? missing(id), handler) };
    },
    async updateCode(request, handler) {
      const { id } = request;
      const doc = await editCode(deps, { id, edit: editOf(request) }, handler);
      return { code: await shown(deps, doc ?? missing(id), handler) };
    },
    async deleteCode({ id }, handler) {
      if (!(await removeCode(deps, id, handler))) missing(id);
      return {};
    },
    routeCode: (request, handler) => routeCode(deps, request, handler),
  };
}

function missing(id: string): never {
  throw fail("CODE_NOT_FOUND", { id });
}

async function shown(
  deps: ServiceDeps,
  doc: CodeDoc,
  handler: HandlerContext,
): Promise<MessageInitShape<typeof CodeSchema>> {
  return toCode(doc, { config: deps.config, totals: await totalsOf(deps, [doc], handler) });
}

function draftOf(request: CreateCodeRequest): Draft {
  return {
    id: request.id,
    shortId: request.shortId,
    called: { id: "id", shortId: "short_id" },
    purpose: Purpose.MARKETING,
    status: CodeStatus.ACTIVE,
    name: request.name,
    prompt: request.prompt,
    welcomeMessage: request.welcomeMessage || undefined,
    template: request.template,
    metadata: checkMetadata(request.metadata ?? {}, "metadata"),
    destination: request.destination ? checkUrl(request.destination, "destination") : undefined,
    routing: request.routing && storeRouting(checkRouting(request.routing, "routing")),
    tags: checkTags(request.tags, "tags"),
  };
}

function editOf(request: UpdateCodeRequest): Edit {
  const { name, prompt, status, metadata, welcomeMessage, template, destination, routing, tags } = request;
  const edit: Edit = {};
  if (name !== undefined) edit.name = name;
  if (prompt !== undefined) edit.prompt = prompt;
  if (status !== undefined) edit.status = status;
  if (metadata !== undefined) edit.metadata = checkMetadata(metadata, "metadata");
  if (tags !== undefined) edit.tags = readTags(tags, "tags");
  if (welcomeMessage !== undefined) edit.welcomeMessage = readWelcome(welcomeMessage, "welcome_message");
  if (template !== undefined) edit.template = readTemplate(template, "template");
  if (destination !== undefined) edit.destination = readUrl(destination, "destination");
  if (routing !== undefined) {
    const read = readRouting(routing, "routing");
    edit.routing = read && storeRouting(read);
  }
  return edit;
}

async function listCodes(deps: ServiceDeps, request: ListCodesRequest, handler: HandlerContext) {
  const { workspace, test } = contextOf(handler).principal;
  const { limit = 20, offset, tag, search } = request;
  const status = request.status || undefined;
  const selection = { test, status, search, tags: tag === "" ? [] : [tag] };
  const codes = deps.store.collection(codeModel).of(workspace);
  const { docs, total } = await pageOf(codes, selection, { skip: offset, limit });
  const around = { config: deps.config, totals: await totalsOf(deps, docs, handler) };
  return { qprCodes: docs.map((doc) => toCode(doc, around)), total, limit, offset };
}

async function routeCode(deps: ServiceDeps, request: RouteCodeRequest, handler: HandlerContext) {
  const { id, country = "", language = "", time } = request;
  const doc = (await findCode(deps, id, handler)) ?? missing(id);
  const routing = doc.routing && loadRouting(doc.routing);
  const counted = routing?.rules.some(({ when }) => when?.scansBelow !== undefined);
  const [total = 0n] = counted ? await countScans(deps, [id], forward(handler)) : [];
  const { rule, destination } = route(
    { routing, destination: doc.destination },
    {
      country,
      language,
      device: (request.device ?? "unknown") as DeviceKind,
      at: time ? timestampMs(time) : contextOf(handler).now(),
      scansTotal: Number(total),
      deviceKey: request.deviceId ?? "",
    },
  );
  return { rule: create(ValueSchema, { kind: kindOf(rule) }), destination };
}

function kindOf(rule: string | number | undefined) {
  if (rule === undefined) return { case: "nullValue", value: 0 } as const;
  if (typeof rule === "string") return { case: "stringValue", value: rule } as const;
  return { case: "numberValue", value: rule } as const;
}
