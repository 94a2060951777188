import type { HandlerContext } from "@connectrpc/connect";
import { AuthorityService, type Privacy } from "#gen/waymark/access/v1/authority_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { remember } from "./remembered.ts";

/** What workspaces collect, as far as it was asked for lately. */
export interface PrivacySettings {
  /** Of the caller's workspace. */
  of: (handler: HandlerContext) => Promise<Privacy>;
  changed: (change: ObjectChanged) => void;
  forgetAll: () => void;
}

/** Asks for the settings of a workspace at most once a minute unless they change. Without an answer nothing is collected. */
export function openPrivacySettings({ client }: Pick<ServiceDeps, "client">): PrivacySettings {
  const known = remember<Privacy>(10_000);
  return {
    of: async (handler) => {
      const { principal, requestId } = contextOf(handler);
      const found = known.get(principal.workspace);
      if (found) return found;
      const begun = known.begin();
      const { privacy } = await client(AuthorityService).getSettings({}, forward(handler));
      if (privacy === undefined) throw fail("INTERNAL", { requestId });
      known.put(principal.workspace, privacy, begun);
      return privacy;
    },
    changed: ({ workspaceId }) => known.forget([workspaceId]),
    forgetAll: known.forgetAll,
  };
}
