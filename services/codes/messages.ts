import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CodeSchema } from "#gen/waymark/codes/v1/codes_pb.ts";
import { type TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { LinkSchema, LinkTagSchema } from "#gen/waymark/codes/v1/links_pb.ts";
import { type Config, publicUrlOf } from "#runtime/config.ts";
import type { CodeDoc, CodeTagDoc } from "./model.ts";
import { loadRouting } from "./routing-json.ts";
import { tagId } from "./rules.ts";

/** The addresses of a printed short id. */
export function addressesOf(config: Pick<Config, "publicUrl" | "port">, shortId: string) {
  const base = publicUrlOf(config);
  return { scan: `${base}/s/${shortId}`, png: `${base}/qr/${shortId}.png`, svg: `${base}/qr/${shortId}.svg` };
}

/** What a message needs beside the document. */
export interface Surroundings {
  config: Pick<Config, "publicUrl" | "port">;
  /** Scans by people, by code id. */
  totals: ReadonlyMap<string, bigint>;
}

/** A code as the Scans API shows it. */
export function toCode(doc: CodeDoc, { config, totals }: Surroundings): MessageInitShape<typeof CodeSchema> {
  const { scan, png, svg } = addressesOf(config, doc.shortId);
  return {
    id: doc.id,
    name: doc.name,
    shortId: doc.shortId,
    scanUrl: scan,
    qrImageUrl: png,
    qrSvgUrl: svg,
    template: doc.template,
    prompt: doc.prompt,
    welcomeMessage: doc.welcomeMessage,
    status: doc.status,
    scansTotal: totals.get(doc.id) ?? 0n,
    metadata: doc.metadata,
    destination: doc.destination,
    routing: doc.routing && loadRouting(doc.routing),
    tags: [...doc.tags],
    createdAt: timestampFromMs(doc.createdAt),
    updatedAt: timestampFromMs(doc.updatedAt),
  };
}

/** A code as the Analytics API shows it. */
export function toLink(
  doc: CodeDoc,
  around: Surroundings & { workspace: string; tags: ReadonlyMap<string, CodeTagDoc> },
): MessageInitShape<typeof LinkSchema> {
  const { scan, png } = addressesOf(around.config, doc.shortId);
  const tags = doc.tags.map((name) => {
    const id = tagId(name, doc.test);
    return around.tags.get(id) ?? { id, name, test: doc.test, createdAt: doc.createdAt };
  });
  return {
    id: doc.id,
    name: doc.name,
    shortlink: doc.shortId,
    entrypoint: scan,
    destination: doc.destination ?? "",
    metadata: toTexts(doc.metadata),
    tags: tags.map(toLinkTag),
    eventCount: around.totals.get(doc.id) ?? 0n,
    qrcodeSignedUrl: png,
    workspaceId: around.workspace,
    routing: doc.routing && loadRouting(doc.routing),
    conversionTracking: doc.touchParameter === LBID,
    createdAt: timestampFromMs(doc.createdAt),
    updatedAt: timestampFromMs(doc.updatedAt),
  };
}

/** Addresses of the pictures of codes, by code id. */
export function picturesOf(docs: readonly CodeDoc[], config: Surroundings["config"]): Record<string, string> {
  return Object.fromEntries(docs.map(({ id, shortId }) => [id, addressesOf(config, shortId).png]));
}

/** The query parameter of links with conversion tracking. */
export const LBID = "lbid";

/** A tag as the Analytics API shows it. */
export function toLinkTag(tag: CodeTagDoc): MessageInitShape<typeof LinkTagSchema> {
  const at = timestampFromMs(tag.createdAt);
  return { id: tag.id, name: tag.name, createdAt: at, updatedAt: at };
}

function toTexts(metadata: JsonObject): Record<string, string> {
  const texts = Object.entries(metadata).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  return Object.fromEntries(texts);
}

/** What a scan of a code leads to. */
export function toTarget(doc: CodeDoc, workspace: string): MessageInitShape<typeof TargetSchema> {
  return {
    codeId: doc.id,
    shortId: doc.shortId,
    workspaceId: workspace,
    purpose: doc.purpose,
    status: doc.deleted ? TargetStatus.DELETED : doc.status,
    destination: doc.destination,
    routing: doc.routing && loadRouting(doc.routing),
    name: doc.name,
    welcomeMessage: doc.welcomeMessage,
    metadata: doc.metadata,
    parentId: doc.parentId,
    ownerId: doc.ownerId,
    touchParameter: doc.touchParameter,
    test: doc.test,
    tags: [...doc.tags],
    createdAt: timestampFromMs(doc.createdAt),
  };
}
