import type { HandlerContext } from "@connectrpc/connect";
import { DirectoryService, type Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import { type ObjectChanged, Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import { partitionOf } from "#runtime/log.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { remember } from "./remembered.ts";

/** What of a code goes into its touches. */
export interface TakenCode {
  codeId: string;
  shortId: string;
  /** Of its records on the log. */
  partition: number;
  metadata: Target["metadata"];
}

/** Names of codes, as scans give them. */
export interface CodeNames {
  codeIds: ReadonlySet<string>;
  shortIds: ReadonlySet<string>;
}

/** The codes of some names. A name that is missing is of no code of the workspace that takes scans. */
export interface FoundCodes {
  byId: ReadonlyMap<string, TakenCode>;
  byShortId: ReadonlyMap<string, TakenCode>;
}

/** The codes of workspaces, as far as they were asked for lately. */
export interface Targets {
  find: (names: CodeNames, handler: HandlerContext) => Promise<FoundCodes>;
  /** Forgets a code that has changed. */
  changed: (change: ObjectChanged) => void;
  forgetAll: () => void;
}

/** Asks the directory for codes, each at most once a minute unless it changes. */
export function openTargets({ client }: Pick<ServiceDeps, "client">): Targets {
  const known = remember<TakenCode>(50_000);
  const ask = async (names: { codeIds: string[]; shortIds: string[] }, handler: HandlerContext) => {
    const prefix = prefixOf(handler);
    const begun = known.begin();
    const { targets } = await client(DirectoryService).getTargets(names, forward(handler));
    const answer = byNames(targets);
    for (const id of names.codeIds) known.put(`${prefix}id/${id}`, answer.byId.get(id) ?? null, begun);
    for (const id of names.shortIds) known.put(`${prefix}short/${id}`, answer.byShortId.get(id) ?? null, begun);
    return answer;
  };
  return {
    find: async ({ codeIds, shortIds }, handler) => {
      const prefix = prefixOf(handler);
      const byId = new Map<string, TakenCode>();
      const byShortId = new Map<string, TakenCode>();
      const missing = {
        codeIds: [...codeIds].filter((id) => !recall(byId, id, known.get(`${prefix}id/${id}`))),
        shortIds: [...shortIds].filter((id) => !recall(byShortId, id, known.get(`${prefix}short/${id}`))),
      };
      if (missing.codeIds.length + missing.shortIds.length > 0) {
        const answer = await ask(missing, handler);
        for (const id of missing.codeIds) recall(byId, id, answer.byId.get(id));
        for (const id of missing.shortIds) recall(byShortId, id, answer.byShortId.get(id));
      }
      return { byId, byShortId };
    },
    changed: ({ workspaceId, objectId, aliases }) => {
      const prefixes = [`${workspaceId}/live/`, `${workspaceId}/test/`];
      const names = [`id/${objectId}`, ...aliases.map((alias) => `short/${alias}`)];
      known.forget(prefixes.flatMap((prefix) => names.map((name) => `${prefix}${name}`)));
    },
    forgetAll: known.forgetAll,
  };
}

// Which codes a caller sees depends on whether it works on test data.
function prefixOf(handler: HandlerContext): string {
  const { workspace, test } = contextOf(handler).principal;
  return `${workspace}/${test ? "test" : "live"}/`;
}

/** Notes what is known of a name. False when it must be asked for. */
function recall(found: Map<string, TakenCode>, id: string, code: TakenCode | null | undefined): boolean {
  if (code) found.set(id, code);
  return code !== undefined;
}

function byNames(targets: readonly Target[]): FoundCodes {
  const marketing = targets.filter(({ purpose }) => purpose === Purpose.MARKETING);
  const codes = marketing.map(({ codeId, shortId, metadata }) => {
    return { codeId, shortId, metadata, partition: partitionOf(codeId) };
  });
  return {
    byId: new Map(codes.map((code) => [code.codeId, code])),
    byShortId: new Map(codes.map((code) => [code.shortId, code])),
  };
}
